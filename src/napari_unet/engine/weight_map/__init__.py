"""The boundary weight map of Ronneberger et al. (2015), exact and kept up to date."""
