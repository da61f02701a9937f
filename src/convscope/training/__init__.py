"""Training by a recipe: the LightningModule, the optimizer, callbacks that say only when, feature evolution, resuming.

What a callback computes stands elsewhere as a pure function.
"""
