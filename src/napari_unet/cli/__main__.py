"""`python -m napari_unet.cli`, for where `napari-unet` is not on the path."""

import sys

from napari_unet.cli import main

sys.exit(main())
