"""How far features move when an image is shifted, enlarged or turned (section 4.1, Fig. 5)."""
