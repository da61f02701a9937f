"""The training images nearest to a test image in feature space (Krizhevsky et al. 2012, section 6.1)."""
