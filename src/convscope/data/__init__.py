"""Images: sources, the one DataModule, the cache, transforms, the drawn set (critters/) and sets in chunks (stream/).

No net enters here.
"""
