"""Light augmentation of images in NumPy: shift, noise, contrast."""

from __future__ import annotations

import numpy as np

from edgekit.data.dataset import Float32Array

SHIFTED_SHARE = 0.4
CONTRAST = 0.1


def augment_images(
    images: Float32Array, rng: np.random.Generator, *, shift: int, noise: float
) -> Float32Array:
    """Move some images by up to `shift` pixels, change their contrast, add noise.

    Args:
        images: [N, H, W, C], values 0..1.
        rng: The only source of randomness.
        shift: Pixels; what moves out is lost, what moves in is zero.
        noise: Standard deviation.

    Returns:
        New images of the same shape, values 0..1.
    """
    count, height, width, _ = images.shape
    offsets = rng.integers(-shift, shift + 1, size=(count, 2))
    for axis in range(2):
        offsets[rng.random(count) >= SHIFTED_SHARE * 1.5, axis] = 0
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    rows = np.arange(height)[None] + shift + offsets[:, :1]
    columns = np.arange(width)[None] + shift + offsets[:, 1:]
    moved = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    factor = rng.uniform(1 - CONTRAST, 1 + CONTRAST, size=(count, 1, 1, 1))
    noisy = moved * factor + rng.normal(0.0, noise, size=moved.shape)
    return np.clip(noisy, 0.0, 1.0).astype(np.float32)
