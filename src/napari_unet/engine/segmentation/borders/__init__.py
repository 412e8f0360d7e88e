"""Cells that touch, parted at every waist and joined where the model has learned that it is one."""
