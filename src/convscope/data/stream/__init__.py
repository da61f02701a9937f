"""Sets of images in chunks, in a folder or an object store (data=stream), and the conversion of other sets to them.

The only place of litdata and boto3.
"""
