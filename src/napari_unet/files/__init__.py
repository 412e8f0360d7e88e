"""Image files: found, read, paired, written; the bundled samples."""
