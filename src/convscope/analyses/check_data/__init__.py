"""What is wrong with a data set, before a net is trained on it."""
