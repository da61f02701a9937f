"""The training images nearest to a test image in feature space (Krizhevsky et al. 2012, section 6.1, Fig. 4).

compute.py searches them exactly, by one pass over the training images; figure.py draws the images with their classes.
"""
