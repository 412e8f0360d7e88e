"""The form that segments many images in a queue: files, folders and layers."""
