"""Networks and what the engine asks of any of them."""
