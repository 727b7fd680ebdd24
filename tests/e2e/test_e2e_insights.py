"""Gravity, trim and colours that depend on what is in the picture, on a real server with the real models."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from e2e_server import PellucidServer, PhotoOrigin
from PIL import Image

pytestmark = pytest.mark.e2e


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    """Grace Hopper, 1984, a photograph of the US Navy (public domain) that matplotlib brings."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return Image.open(Path(found.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg")


@pytest.fixture(scope="module")
def crowd(portrait: Image.Image) -> bytes:
    """The portrait at the right end of a wide picture with nothing else in it."""
    wide = Image.new("RGB", (1600, 600), (96, 110, 120))
    wide.paste(portrait, (1600 - portrait.width, 0))
    out = io.BytesIO()
    wide.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("gravity", ["face", "smart", "auto"])
def test_the_face_is_in_the_crop(server: PellucidServer, origin: PhotoOrigin, crowd: bytes, gravity: str) -> None:
    path = origin.put("/crowd.png", crowd)
    centre = server.ask(f"{path}?w=300&h=300")
    answer = server.ask(f"{path}?w=300&h=300&gravity={gravity}")
    assert answer.status == 200
    assert "look;dur=" in answer.headers["server-timing"]
    assert answer.rgba.shape[:2] == (300, 300)
    # The middle is plain; the face's skin is in the middle of the other one.
    assert np.ptp(centre.rgba[140:160, 60:100, 0]) < 10
    red, _, blue = answer.rgba[120:150, 130:190, :3].reshape(-1, 3).mean(0)
    assert red > blue + 20


def test_func_face_shows_the_face_alone(server: PellucidServer, origin: PhotoOrigin, crowd: bytes) -> None:
    path = origin.put("/face.png", crowd)
    answer = server.ask(f"{path}?w=200&h=200&func=face&face_margin=10")
    assert answer.rgba.shape[:2] == (200, 200)
    red, _, blue = answer.rgba[80:130, 70:130, :3].reshape(-1, 3).mean(0)
    assert red > blue + 20
    whole = server.ask(f"{path}?w=200&func=face")
    assert whole.rgba.shape[1] == 200
    assert whole.rgba.shape[0] > 200, "a face is higher than wide"


def test_trim_cuts_the_border_and_auto_colour_fills_with_the_pictures_own(
    server: PellucidServer, origin: PhotoOrigin
) -> None:
    pixels = np.full((600, 800, 3), (30, 120, 60), np.uint8)
    pixels[200:400, 300:600] = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    path = origin.put("/bordered.png", png(pixels))
    assert server.ask(f"{path}?trim=5").rgba.shape[:2] == (200, 300)
    assert server.ask(f"{path}?trim=5&w=150").rgba.shape[:2] == (100, 150)
    padded = server.ask(f"{path}?func=fit&w=800&h=800&bg_color=auto")
    assert tuple(padded.rgba[10, 400, :3]) == (30, 120, 60)


def test_the_product_shot(server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    """Cut out, cut to the subject, framed with a margin: one URL."""
    path = origin.put("/otter-shot.jpg", otter_jpg)
    query = "bg_remove=1&trim=1&func=fit&margin=10p&w=400&h=400&bg_color=fff&fit_enlarge=1"
    answer = server.wait_for(f"{path}?{query}", "ready")
    pixels = answer.rgba[..., :3].astype(int)
    assert pixels.shape[:2] == (400, 400)
    inside = (255 - pixels.min(2)) > 12
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = columns[0], rows[0], 399 - columns[-1], 399 - rows[-1]
    assert min(box) >= 38, "the margin is kept on every side"
    assert min(box[0] + box[2], box[1] + box[3]) <= 90, "and the subject fills what is left, one way"
    assert abs(box[0] - box[2]) <= 8
    assert abs(box[1] - box[3]) <= 8


def test_gravity_auto_centres_the_subject(server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    path = origin.put("/otter-auto.jpg", otter_jpg)
    answer = server.wait_for(f"{path}?bg_remove=1&w=200&h=400&gravity=auto", "ready")
    alpha = answer.rgba[..., 3].astype(float)
    columns = np.flatnonzero(alpha.max(0) > 128)
    assert columns.size > 20
    if columns[0] > 0 and columns[-1] < 199:
        assert abs((columns[0] + columns[-1]) / 2 - 99.5) < 12
