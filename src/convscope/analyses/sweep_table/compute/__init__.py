"""Rows of a sweep, the paper's numbers beside them, and which way each ablation goes."""
