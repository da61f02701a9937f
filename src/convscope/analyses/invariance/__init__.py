"""How far features move when an image is shifted, enlarged or turned (section 4.1, Fig. 5).

compute/ changes the images (warp), measures distances of features, and makes numbers of the curves (tolerance);
figure.py draws Fig. 5.
"""
