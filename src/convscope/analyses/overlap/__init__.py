"""Which images two sets share (section 5.2)."""
