"""Layers: premultiplied colour with alpha, laid over each other and blurred as optics and motion do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from scenes.textures import FloatArray, Size


@dataclass(frozen=True, kw_only=True)
class Layer:
    """`colour`: (height, width, 3) float32, alpha times sRGB levels. `alpha`: (height, width) float32 in [0, 1]."""

    colour: FloatArray
    alpha: FloatArray

    def over(self, below: Layer) -> Layer:
        """This layer on top of `below` (Porter-Duff)."""
        rest = 1 - self.alpha
        return Layer(colour=self.colour + below.colour * rest[..., None], alpha=self.alpha + below.alpha * rest)

    def blurred(self, kernel: FloatArray) -> Layer:
        """Convolved with `kernel` (odd sides, sum 1). What touches the picture's border goes on beyond it."""
        down, across = kernel.shape[0] // 2, kernel.shape[1] // 2
        planes = [self.alpha, *np.moveaxis(self.colour, 2, 0)]
        blurred: list[FloatArray] = []
        for plane in planes:
            padded = np.pad(plane, ((down, down), (across, across)), mode="edge")
            blurred.append(np.asarray(signal.oaconvolve(padded, kernel, mode="valid"), np.float32))
        alpha = np.clip(blurred[0], 0, 1)
        return Layer(colour=np.clip(np.stack(blurred[1:], axis=-1), 0, 255 * alpha[..., None]), alpha=alpha)


def painted(colour: FloatArray, alpha: FloatArray) -> Layer:
    """A layer of straight `colour` (height, width, 3, or three levels for all) where `alpha` says."""
    return Layer(colour=colour * alpha[..., None], alpha=alpha)


def empty(size: Size) -> Layer:
    """Nothing."""
    width, height = size
    return Layer(colour=np.zeros((height, width, 3), np.float32), alpha=np.zeros((height, width), np.float32))


def line_kernel(length: float, angle: float) -> FloatArray:
    """The path of a steady movement: `length` pixels in the direction `angle` (radians), both ends included."""
    reach = int(np.ceil(length / 2)) + 1
    t = np.linspace(-length / 2, length / 2, 8 * reach + 1)
    x, y = reach + t * np.cos(angle), reach + t * np.sin(angle)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    for right in (0, 1):
        for down in (0, 1):
            share = (1 - np.abs(x - left - right)) * (1 - np.abs(y - top - down))
            np.add.at(kernel, (np.minimum(top + down, 2 * reach), np.minimum(left + right, 2 * reach)), share)
    return kernel / kernel.sum()


def disc_kernel(radius: float) -> FloatArray:
    """What a lens makes of a point out of focus: an even disc of `radius` pixels."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return kernel / kernel.sum()
