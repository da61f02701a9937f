"""Nets and their weights: of rows, torchvision, timm and Python; LRN, initialization, checkpoints, weights files.

What looks inside a net (hooks, traces, projections) belongs to `engine`; what trains it belongs to `training`.
"""
