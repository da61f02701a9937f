"""The run folder: every result is written whole or not at all, and read back from the folder alone.

A folder may come from anybody: paths, sizes and numbers in it are checked before use. No net, no data source and no
page enters here; of torch only the tensors that `record` writes.
"""
