"""The form that measures cells, with the table of what was measured."""
