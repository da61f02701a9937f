"""Which images two sets share, and which copies the search for them finds (section 5.2)."""
