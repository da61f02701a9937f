"""How well frozen features classify other images (sections 5.2 and 5.4, Tables 4 to 7, Fig. 9)."""
