"""The runs of a sweep in one table, beside the paper's numbers (Table 3)."""
