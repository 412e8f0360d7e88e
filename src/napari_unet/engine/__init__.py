"""The U-Net engine: arrays in, arrays out; no Qt, no napari."""

from napari_unet.engine.base.threads import let_waiting_threads_sleep

# Here, because whoever is about to load torch by this package comes past: the viewer, the
# command line, and Python.
let_waiting_threads_sleep()
