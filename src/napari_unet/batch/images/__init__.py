"""Images of a batch: the part of each that is segmented, in which way, and what comes of it."""
