"""What is kept and shown of the cells of a Labels layer: types, marks, measures, scores, colours."""
