"""Outputs of a net for occluded images, where only what the occluder can change is computed anew."""
