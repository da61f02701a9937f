"""What is wrong with a net: dead and double filters, frequencies, aliasing, saturation (section 4.1, Fig. 6)."""
