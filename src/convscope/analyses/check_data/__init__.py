"""What is wrong with a data set, checked before a net is trained on it."""
