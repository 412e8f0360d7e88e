"""Many images one after the other: planned, segmented, and kept in a queue that goes on."""
