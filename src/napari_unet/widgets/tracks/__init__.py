"""The form that follows cells through time: tracks, counts in each frame, and a table."""
