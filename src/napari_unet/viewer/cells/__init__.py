"""What is kept and shown of the cells of a layer: types, marks, measurements, scores, colours."""
