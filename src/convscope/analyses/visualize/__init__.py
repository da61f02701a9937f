"""What excites each feature map: its nine strongest images, projected back to pixels (section 4, Fig. 2).

compute.py searches the images and projects the units; figure.py draws the grids, which training draws after an epoch
too. Projection rules and the search themselves are in engine/.
"""
