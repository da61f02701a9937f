"""The embedded data set: faces of ten animals, drawn by code. Any size, any number, the same for the same seed.

Species differ by their parts and by the texture of their coat; colors, pose, light and surroundings are drawn from the
same ranges for all. Where each part of the animal is in a picture is known: see `source.truth`. Whatever a process that
draws imports (scene and below) needs neither torch nor the rest of data/.
"""
