"""napari beside the forms: worker, layers, label canvas, commands, readers."""
