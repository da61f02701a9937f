"""Covered images through a net, computing only what the occluder can change."""
