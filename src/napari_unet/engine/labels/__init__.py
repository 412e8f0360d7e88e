"""Label images: measured, compared, repaired, looked over."""
