"""Images of each class in rows: where they stand, and room for few and long names."""

import numpy as np

from convscope.analyses.check_data.figure import SIDE, ClassSamples, samples_sheet
from convscope.plots.grid import BACKGROUND, MARGIN, TITLE_HEIGHT


def tile(color):
    return np.full((30, 30, 3), color, np.uint8)


def test_each_row_has_its_images_from_left_to_right():
    rows = [
        ClassSamples("ant", "2 images", [tile((250, 0, 0)), tile((0, 250, 0))]),
        ClassSamples("bee", "1 image", [tile((0, 0, 250))]),
    ]
    sheet = np.array(samples_sheet(rows, "two"))
    right = sheet.shape[1] - MARGIN
    step = SIDE + 4
    middle = TITLE_HEIGHT + SIDE // 2
    assert (sheet[middle, right - step - SIDE // 2] == (250, 0, 0)).all()
    assert (sheet[middle, right - SIDE // 2] == (0, 250, 0)).all()
    assert (sheet[middle + step, right - step - SIDE // 2] == (0, 0, 250)).all()
    assert (sheet[middle + step, right - SIDE // 2] == BACKGROUND).all()  # an outline alone


def test_no_images_and_long_names():
    for rows in ([ClassSamples("", "", [])], [ClassSamples("x" * 300, "y" * 300, [tile(9)])] * 3):
        sheet = samples_sheet(rows, "z" * 300)
        assert sheet.width < 1400 and sheet.height == TITLE_HEIGHT + len(rows) * (SIDE + 4) - 4 + MARGIN
