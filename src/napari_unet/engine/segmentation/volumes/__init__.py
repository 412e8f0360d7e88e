"""Volumes segmented by networks that read planes."""
