"""The command line: composing conf/, --help, plain errors, sweeps, processes, resuming, one command for every job.

The only package that knows Hydra. No arithmetic enters here.
"""
