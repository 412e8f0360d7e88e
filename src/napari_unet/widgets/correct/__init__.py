"""The form that corrects cells: split, merged, deleted, added, smoothed and filled by the mouse."""
