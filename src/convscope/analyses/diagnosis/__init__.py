"""Faults of a net: dead and double filters, missing frequencies, aliasing, saturation (section 4.1, Fig. 6).

compute/ has a file for each kind of measure, examination.py for all of them on one net, and verdicts.py for the
thresholds; job/ has one net and, in first_layers.py, the runs of a sweep side by side.
"""
