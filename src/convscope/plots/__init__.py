"""Pictures: arrays in, PIL images and matplotlib figures out.

tile               one projection or filter as a small colored square
grid               tiles composed: top-9 grids (Fig. 2), evolution (Fig. 4), filters (Fig. 6), thumbnails
heatmap            values at the places of an image as colors
curves             loss, accuracy and convergence over the epochs
errors_by_row      errors of a sweep's rows as dots
receptive_fields   receptive fields over an image
series             colors, dashes, markers and words of series, as on the page
film, poster       a map or a layer over the epochs, to show and to print
lettering, panels  text in PIL images; the common style of matplotlib figures
figure_files       matplotlib figures as files

Only this package and the figure.py of the analyses import matplotlib. No net and no file of a run enters here.
"""
