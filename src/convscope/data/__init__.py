"""Images: data sets as Sources, their decoding and cache, augmentation, and the LightningDataModule that loads them.

critters/ draws the embedded data set; stream/ reads and writes sets in chunks. No net, no analysis and no figure may
enter here: code that asks a question of a net belongs into analyses/, code that runs a net into training/ or engine/.
"""
