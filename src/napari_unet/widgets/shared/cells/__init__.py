"""Cells in a form: their table, the edits that it follows, a layer of their kinds, a button."""
