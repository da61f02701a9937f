"""Images: data sets as Sources, their decoding and cache, augmentation, their loaders; data sets of the user's own.

critters/ draws the embedded data set; stream/ reads and writes sets in chunks. No net, no analysis and no figure may
enter here: code that asks a question of a net belongs into analyses/, code that runs a net into training/ or engine/.
"""
