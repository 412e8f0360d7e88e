"""Parts that several forms have."""
