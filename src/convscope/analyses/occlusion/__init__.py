"""Occlusion sensitivity: the net's answers while a gray square covers one place of the image after another
(section 4.2, Fig. 7).

compute/ covers images and measures, for one image, for a subject's examples, and for images whose object is annotated;
figure.py draws Fig. 7. How a graph is computed again for a covered part is in engine/recomputation/.
"""
