"""Found cells beside the true ones: what is wrong with which, and how sure the figures are."""
