"""What a net answers while a gray square covers one place of the image after another (section 4.2, Fig. 7)."""
