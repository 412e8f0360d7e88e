"""What is kept of a model: its versions, and the state of a training that runs."""
