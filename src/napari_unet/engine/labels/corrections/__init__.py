"""Cells corrected one by one: split, merged, deleted, added, filled and smoothed."""
