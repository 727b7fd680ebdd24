"""Flat graphics made by code, with the alpha that they were drawn with, and photographs to tell them from."""

from __future__ import annotations

import io
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WHITE, CREAM, NAVY, RED, BLACK, GREEN = (
    (255, 255, 255),
    (244, 236, 216),
    (20, 40, 90),
    (200, 20, 30),
    (0, 0, 0),
    (0, 140, 70),
)
Colour = tuple[int, int, int]


class Drawing(NamedTuple):
    """`rgb`: uint8, H x W x 3. `alpha`: what is not ground, float, H x W."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.float64]


class Canvas:
    """Inks laid on a ground one after the other."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self.size = width, height
        self._rgb = np.full((height, width, 3), ground, np.float64)
        self._alpha = np.zeros((height, width))

    def lay(self, mask: Image.Image, ink: Colour) -> None:
        share = np.asarray(mask, np.float64)[..., None] / 255
        self._rgb = self._rgb * (1 - share) + np.array(ink) * share
        self._alpha = self._alpha + (1 - self._alpha) * share[..., 0]

    def text(self, at: tuple[int, int], text: str, size: int, ink: Colour) -> None:
        mask = Image.new("L", self.size)
        ImageDraw.Draw(mask).text(at, text, font=ImageFont.load_default(size), fill=255)
        self.lay(mask, ink)

    def disc(self, box: tuple[int, int, int, int], ink: Colour, *, blur: float = 0) -> None:
        large = Image.new("L", (self.size[0] * 4, self.size[1] * 4))
        ImageDraw.Draw(large).ellipse([4 * side for side in box], fill=255)
        mask = large.resize(self.size, Image.Resampling.BOX)
        self.lay(mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask, ink)

    def done(self) -> Drawing:
        return Drawing(np.rint(self._rgb).astype(np.uint8), self._alpha)


def words(ground: Colour = WHITE, ink: Colour = RED, *, size: int = 90) -> Drawing:
    canvas = Canvas(640, 240, ground)
    canvas.text((40, 60), "SALE 50% Oo", size, ink)
    return canvas.done()


def page(ground: Colour = WHITE, ink: Colour = (40, 40, 40)) -> Drawing:
    canvas = Canvas(600, 400, ground)
    for row in range(14):
        canvas.text((30, 20 + 24 * row), "small words on a page, some of them bold 1987", 16, ink)
    return canvas.done()


def logo(ground: Colour = CREAM) -> Drawing:
    canvas = Canvas(640, 400, ground)
    canvas.disc((40, 60, 260, 280), GREEN)
    canvas.disc((180, 120, 340, 280), RED)
    canvas.text((360, 150), "Acme", 90, NAVY)
    return canvas.done()


def shadowed() -> Drawing:
    canvas = Canvas(500, 400, WHITE)
    canvas.disc((110, 130, 370, 350), (150, 150, 150), blur=14)
    canvas.disc((100, 100, 360, 320), NAVY)
    return canvas.done()


def on_gradient() -> NDArray[np.uint8]:
    ramp = np.linspace(60, 220, 400)[:, None, None] * np.array([1.0, 0.7, 0.5]) + np.zeros((400, 500, 3))
    drawn = logo(BLACK)
    share = drawn.alpha[:400, :500, None]
    return np.rint(ramp * (1 - share) + 255 * share).astype(np.uint8)


def poster() -> NDArray[np.uint8]:
    rgb = np.empty((480, 400, 3), np.uint8)
    rgb[:160], rgb[160:320], rgb[320:] = RED, CREAM, NAVY
    canvas = Image.fromarray(rgb)
    ImageDraw.Draw(canvas).text((40, 120), "Poster", font=ImageFont.load_default(90), fill=BLACK)
    return np.asarray(canvas)


def saved(rgb: NDArray[np.uint8], format_: str, **options: object) -> NDArray[np.uint8]:
    """As a file of that format shows it."""
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, format_, **options)  # pyright: ignore[reportArgumentType]
    return np.asarray(Image.open(data).convert("RGB")).copy()


def scanned(rgb: NDArray[np.uint8], *, noise: float = 2) -> NDArray[np.uint8]:
    grain = np.random.default_rng(1).normal(0, noise, rgb.shape[:2])[..., None]
    return np.rint(rgb + grain).clip(0, 255).astype(np.uint8)


def photographs() -> dict[str, NDArray[np.uint8]]:
    """Those of the demo page."""
    folder = files("pellucid") / "demo" / "photos"
    pictures = {each.name: each for each in folder.iterdir() if each.name.endswith(".jpg")}
    return {
        name: np.asarray(Image.open(io.BytesIO(each.read_bytes())).convert("RGB")).copy()
        for name, each in sorted(pictures.items())
    }


def on_white(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a photograph as a subject on a pure white ground."""
    height, width = rgb.shape[:2]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon(
        [
            (width * 0.5, height * 0.1),
            (width * 0.85, height * 0.4),
            (width * 0.7, height * 0.85),
            (width * 0.2, height * 0.7),
        ],
        fill=255,
    )
    share = np.asarray(mask.filter(ImageFilter.GaussianBlur(1)), np.float64)[..., None] / 255
    return np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8)
