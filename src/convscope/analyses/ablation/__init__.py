"""What is a map for: which classes fall where it is switched off, and which mistakes it makes.

compute/ switches every map of a layer off for every image, in one pass; figure.py draws the effects and the mistakes.
"""
