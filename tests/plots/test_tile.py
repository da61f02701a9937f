import numpy as np
import pytest

from convscope.plots.tile import chroma_share, contrast, filter_tiles, muted, resized, signed_tile


def test_zero_is_mid_gray_and_the_scale_is_symmetric():
    values = np.zeros((3, 2, 2), np.float32)
    values[0, 0, 0], values[1, 0, 1], values[2, 1, 0] = 4.0, -2.0, -4.0
    tile = signed_tile(values)
    assert tile.dtype == np.uint8 and tile.shape == (2, 2, 3)
    assert tile[0, 0].tolist() == [255, 128, 128]
    assert tile[0, 1].tolist() == [128, 65, 128]  # 128 - 127 / 2, rounded
    assert tile[1, 0].tolist() == [128, 128, 1]
    assert tile[1, 1].tolist() == [128, 128, 128]


def test_the_strength_of_a_projection_does_not_change_its_tile():
    values = np.random.default_rng(0).normal(size=(3, 9, 9))
    np.testing.assert_array_equal(signed_tile(values), signed_tile(values * 2**-20))


def test_nothing_stays_gray():
    assert (signed_tile(np.zeros((3, 5, 4))) == 128).all()
    assert signed_tile(np.zeros((3, 5, 4))).shape == (5, 4, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_drawn_as_zero(bad):
    values = np.zeros((3, 2, 2))
    values[0, 0, 0], values[0, 1, 1] = bad, 1.0
    tile = signed_tile(values)
    assert tile[0, 0].tolist() == [128, 128, 128]
    assert tile[1, 1].tolist() == [255, 128, 128]


def test_few_pixels_grow_into_squares():
    tile = np.random.default_rng(0).integers(0, 255, (7, 7, 3), dtype=np.uint8)
    large = np.asarray(resized(tile, 56))
    np.testing.assert_array_equal(large, tile.repeat(8, axis=0).repeat(8, axis=1))


def test_shrinking_averages_instead_of_picking_pixels():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    small = np.asarray(resized(stripes, 32))[:, 2:-2]
    assert abs(small.astype(int) - 100).max() <= 4


def test_a_tile_of_the_right_size_is_left_alone():
    tile = np.random.default_rng(0).integers(0, 255, (56, 56, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(resized(tile, 56)), tile)


def test_filters_share_a_scale_or_have_their_own():
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0], weights[1] = 1.0, 0.5
    assert [tile.max() for tile in filter_tiles(weights, common=True)] == [255, 192]
    assert [tile.max() for tile in filter_tiles(weights, common=False)] == [255, 255]


def test_filters_that_do_not_see_colors_are_gray():
    weights = np.random.default_rng(0).normal(size=(4, 5, 3, 3))
    tiles = filter_tiles(weights, common=False)
    assert all((tile == tile[..., :1]).all() for tile in tiles)
    mean = weights[2].mean(axis=0)
    assert np.argmax(tiles[2][..., 0]) == np.argmax(mean) or np.argmin(tiles[2][..., 0]) == np.argmin(mean)


def test_a_few_hot_pixels_do_not_decide_the_contrast():
    draw = np.random.default_rng(0)
    values = draw.normal(size=(3, 60, 60)).astype(np.float32)
    values[0, 0, :5] = 1000  # 5 of 10,800
    assert 2 < contrast(values) < 4 and contrast(np.zeros((3, 8, 8))) == 0
    tile = signed_tile(values, contrast(values))
    assert tile[..., 1].std() > 30 and tile[0, 0, 0] == 255


def colored(chroma, n=9, seed=0):
    """[n, 3, h, w] with a chroma that has `chroma` times the luminance's energy, exactly."""
    draw = np.random.default_rng(seed)
    gray = draw.normal(size=(n, 1, 20, 20)).repeat(3, axis=1)
    color = draw.normal(size=(n, 3, 20, 20))
    color -= color.mean(1, keepdims=True)
    return gray + color * np.sqrt(chroma * np.square(gray).sum() / np.square(color).sum())


def test_muting_leaves_luminance_and_scales_what_differs_from_it():
    values = colored(2.0)[0]
    for share in (0.0, 0.35, 1.0):
        drawn = muted(values, share)
        np.testing.assert_allclose(drawn.mean(0), values.mean(0), atol=1e-5)
        np.testing.assert_allclose(drawn[0] - drawn[1], share * (values[0] - values[1]), atol=1e-5)


def test_speckle_is_muted_and_faint_or_leading_color_is_not():
    """Chroma as strong as luminance hides the structure; a tenth of it cannot; ten times of it is the feature."""
    assert chroma_share(colored(1.0)) == pytest.approx(0.35)
    assert chroma_share(colored(0.1)) == chroma_share(colored(10.0)) == chroma_share(colored(0.0)) == 1.0
    shares = [chroma_share(colored(ratio)) for ratio in np.linspace(0.05, 6, 200)]
    assert np.abs(np.diff(shares)).max() < 0.2 and min(shares) == pytest.approx(0.35)  # no jump between epochs
    assert chroma_share(np.zeros((9, 3, 5, 5))) == 1.0
    assert chroma_share(np.full((9, 3, 5, 5), np.nan)) == 1.0


def test_a_photograph_of_twenty_pixels_grows_smoothly():
    """Squares are for the few weights of a filter; a patch would be unreadable so."""
    tile = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    assert not np.array_equal(np.asarray(resized(tile, 100)), tile.repeat(5, axis=0).repeat(5, axis=1))
