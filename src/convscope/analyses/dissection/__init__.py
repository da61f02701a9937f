"""What part of an image does a map answer to (Network Dissection, Bau et al. 2017)?

compute/ measures how well the places where a map is strong agree with the masks of parts; figure.py draws the maps
that detect a part. Where the parts of an image are is read in data/.
"""
