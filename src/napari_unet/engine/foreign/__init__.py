"""Other people's models: file formats, recognition, libraries, ready-made programs."""
