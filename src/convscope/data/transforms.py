"""Augmentation of stored images: random crop, flip, AlexNet's color noise.

Every random draw is a pure function of (seed, epoch, index): the same in any process, order and after any interruption.
"""

from typing import NamedTuple

import numpy as np

from convscope.errors import UserError

# AlexNet 2012, section 4.1: principal components of ImageNet's colors; the usual constants, for RGB in [0, 1].
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


class Cuts(NamedTuple):
    """Crops of N images: top and left edge in pixels of the stored image, and whether the crop is mirrored; all [N]."""

    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray


def stored_size(image_size: int) -> int:
    """Side of the stored image that crops of image_size come from: 256 for the paper's 224, else in proportion."""
    if image_size < 8:
        raise UserError(f"data.image_size={image_size} is too small; 8 or more pixels, the paper has 224")
    return round(image_size * 256 / 224)


def random_cuts(keys: np.ndarray, seed: int, margin: int) -> Cuts:
    """One of (margin + 1)^2 crops and one of two directions for each key (epoch, index): the paper's augmentation.

    keys: [N,2] int64. margin: stored size minus crop size.
    """
    draws = _draws(keys, seed, 3)  # [3,N]
    top, left = (draws[:2] * (margin + 1)).astype(np.int64)
    return Cuts(top, left, draws[2] < 0.5)


def center_cuts(count: int, margin: int) -> Cuts:
    """Center crops, not mirrored."""
    middle = np.full(count, margin // 2)
    return Cuts(middle, middle, np.zeros(count, bool))


def color_shifts(keys: np.ndarray, seed: int, sigma: float) -> np.ndarray:
    """AlexNet's PCA color noise in grey levels: [N,3] to add to all pixels of an image, another one in every epoch.

    sigma: standard deviation of the factor on each principal component (AlexNet: 0.1).
    """
    u = _draws(keys, seed + 1, 6)
    normal = np.sqrt(-2 * np.log(1 - u[:3])) * np.cos(2 * np.pi * u[3:])  # [3,N], Box-Muller
    return (255 * (EIGENVECTORS @ (sigma * normal * EIGENVALUES[:, None])).T).astype(np.float32)


def _draws(keys: np.ndarray, seed: int, count: int) -> np.ndarray:
    """[count,N] float64 uniform in [0, 1): a hash (SplitMix64) of seed, epoch, index and number of the draw."""
    epoch, index = keys.astype(np.uint64).T
    start = _mixed(_mixed(_mixed(np.full(1, seed, np.int64).astype(np.uint64)) ^ epoch) ^ index)
    steps = np.arange(1, count + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    return (_mixed(start + steps) >> np.uint64(11)) * 2.0**-53


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
