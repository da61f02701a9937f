"""What excites the maps of a net: top-9 grids (section 4, Fig. 2)."""
