"""How long a training takes: by its loss, by steps, by the clock."""
