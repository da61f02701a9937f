"""Tiles, grids, curves and heat maps: arrays in, pictures out. The only package that knows matplotlib.

No net enters here.
"""
