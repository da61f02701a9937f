"""From which pixels of its receptive field a unit really gets its value: effective receptive fields (Luo et al. 2016).

compute.py follows the gradient of each layer's central unit to the pixels; figure.py draws it over the theoretical
field, which engine/receptive_fields.py knows for any weights.
"""
