"""Rows to nets, nets of torchvision and timm, LRN, initialization, renormalization, weights and checkpoints.

Nothing that looks inside a net enters here.
"""
