"""The static pages of a run and of a sweep, made from run folders alone.

No torch, no net and no data source enters here: a page must be writable on a machine that has the folder alone.
"""
