"""The questions that can be asked of a net, one folder for each.

In a folder: about.py (settings and words; imports no torch), compute.py (tensors in, named tensors out), figure.py
(arrays in, a figure out), job.py (over a Subject: yields Picture, Number, Table, Arrays). What several questions need
stands in engine/, metrics/ and plots/, which know no question.
"""
