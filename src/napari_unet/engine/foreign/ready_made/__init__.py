"""Networks that come as a finished program: they segment and cannot learn."""
