"""The run folder: writing it whole, reading it back.

A folder may come from anybody: what is read is believed only where it can be true.
"""
