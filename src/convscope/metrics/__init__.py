"""Numbers about predictions and their certainty: intervals, errors, linear probes, the papers' own numbers.

No net, no file of a run and no picture enters here.
"""
