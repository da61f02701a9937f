"""How often nets are right (Table 2): errors, confusion, crops, scales, ensembles, average precision (Table 6)."""
