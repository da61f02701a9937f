"""Rows of a sweep, the paper's numbers beside them, and whether each ablation makes a row better or worse."""
