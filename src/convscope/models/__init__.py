"""Nets and their weights: rows to nets, nets of torchvision and timm, LRN, initialization, checkpoints, weights files.

What looks inside a net (hooks, traces, projections) belongs to `engine`; what trains it belongs to `training`.
"""
