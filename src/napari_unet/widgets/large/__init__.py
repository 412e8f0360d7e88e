"""The form that segments an image larger than memory in blocks, here or by workers."""
