"""Is a projection about the net, the unit and the image (Adebayo et al. 2018, Nie et al. 2018)?

compute.py compares projections with those of random weights, other units and other images (engine/dependence.py);
figure.py draws strips of them and the numbers by layer.
"""
