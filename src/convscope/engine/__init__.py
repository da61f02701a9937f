"""What looks inside any traced net: the graph of its calls, regions, the deconvnet, recomputation, top-9, shared crops.

Tensors in, tensors out. No analysis, no file and no picture enters here.
"""
