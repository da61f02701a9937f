"""What looks inside a traced net: receptive fields, regions, projections, top-9, recomputation, shared crops.

Tensors in, tensors out. Analyses, files and pictures belong to the packages above.
"""
