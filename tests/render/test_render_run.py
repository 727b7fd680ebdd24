from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from render_samples import disc, levels, matte, mixed, opened, saved

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image.probe import probe
from pellucid.render.job import RenderJob
from pellucid.render.plan import plan
from pellucid.render.run import render
from pellucid.spec import TRANSPARENT, WHITE, Colour, Geometry

SUBJECT, BEHIND = (200, 60, 40), (0, 220, 30)
SLATE = Colour(red=0x44, green=0x55, blue=0x66)
WIDTH, HEIGHT = 320, 240
DISC = disc(HEIGHT, WIDTH)
PHOTO = mixed(SUBJECT, BEHIND, DISC)
MATTE = matte(DISC, WIDTH, HEIGHT)


def run(
    origin: bytes,
    matte_blob: bytes | None,
    *,
    width: float | None = None,
    height: float | None = None,
    background: Colour | None = None,
    format_: ImageFormat = ImageFormat.PNG,
) -> NDArray[np.uint8]:
    facts = probe(origin, max_pixels=10**7)
    resolved = plan(Geometry(width=width, height=height), width=facts.width, height=facts.height, max_pixels=10**7)
    job = RenderJob(facts=facts, plan=resolved, background=background, format=format_, quality=95)
    return opened(render(origin, matte_blob, job).body)


def translucent(alpha: int) -> bytes:
    return saved(np.full((40, 60, 4), (200, 100, 50, alpha), np.uint8))


@pytest.mark.parametrize("format_", [ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP])
def test_a_plain_resize(format_: ImageFormat) -> None:
    out = run(saved(PHOTO, "JPEG", quality=95), None, width=160, format_=format_)
    assert out.shape == (120, 160, 3)
    assert np.abs(out[60, 80].astype(int) - SUBJECT).max() <= 6
    assert np.abs(out[2, 2].astype(int) - BEHIND).max() <= 6


def test_a_crop_shows_the_middle() -> None:
    ramp = np.zeros((100, 300, 3), np.uint8)
    ramp[..., 0] = np.arange(300) * 255 // 299
    out = run(saved(ramp), None, width=100, height=100)
    assert (out == ramp[:, 100:200]).all()


def test_a_cutout_is_transparent_where_the_background_was() -> None:
    out = run(saved(PHOTO), MATTE, width=160)
    assert out.shape == (120, 160, 4)
    assert (out[0, 0] == 0).all()
    assert tuple(out[60, 80]) == (*SUBJECT, 255)
    # The edge has the subject's colour, not the green that was behind.
    edge = (out[..., 3] > 100) & (out[..., 3] < 255)
    assert edge.any()
    assert np.abs(out[edge][:, :3].astype(int) - SUBJECT).max() <= 12


@pytest.mark.parametrize("format_", [ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.JPEG])
def test_a_solid_colour_leaves_no_transparency(format_: ImageFormat) -> None:
    out = run(saved(PHOTO), MATTE, width=160, background=SLATE, format_=format_)
    assert out.shape == (120, 160, 3)
    tolerance = 0 if format_ is ImageFormat.PNG else 3
    assert np.abs(out[:10].astype(int) - SLATE.rgb).max() <= tolerance


def test_jpeg_without_a_colour_gets_white() -> None:
    for background in (None, TRANSPARENT):
        out = run(saved(PHOTO), MATTE, background=background, format_=ImageFormat.JPEG)
        assert out[:20].min() >= 252


def test_a_translucent_colour_stays_translucent_where_it_can() -> None:
    red = Colour(red=255, green=0, blue=0, alpha=128)
    out = run(saved(PHOTO), MATTE, background=red)
    assert tuple(out[0, 0]) == (255, 0, 0, 128)
    flat = run(saved(PHOTO), MATTE, background=red, format_=ImageFormat.JPEG)
    assert np.abs(flat[5, 5].astype(int) - (255, 127, 127)).max() <= 3


def test_the_matte_is_cropped_with_the_picture() -> None:
    out = run(saved(PHOTO), MATTE, width=80, height=120)
    whole = run(saved(PHOTO), MATTE, width=160)
    assert out.shape == (120, 80, 4)
    assert (out[..., 3] == whole[:, 40:120, 3]).all()


def test_the_own_alpha_is_multiplied_in() -> None:
    own = np.full((HEIGHT, WIDTH), 255, np.uint8)
    own[:, : WIDTH // 2] = 128
    out = run(saved(np.dstack((PHOTO, own))), MATTE)
    assert (out[..., 3] == np.rint(levels(DISC).astype(float) * own / 255)).all()
    # Translucent pixels say their own colour and keep it.
    left = out[:, : WIDTH // 2]
    assert (left[left[..., 3] > 0][:, :3] == PHOTO[:, : WIDTH // 2][left[..., 3] > 0]).all()


def test_existing_alpha_without_a_cutout() -> None:
    kept = run(translucent(128), None)
    assert tuple(kept[10, 10]) == (200, 100, 50, 128)
    on_white = run(translucent(128), None, format_=ImageFormat.JPEG)
    assert np.abs(on_white[10, 10].astype(int) - (227, 177, 152)).max() <= 3
    on_colour = run(translucent(0), None, background=SLATE)
    assert (on_colour == SLATE.rgb).all()


def test_a_colour_under_an_opaque_picture_changes_nothing() -> None:
    assert (run(saved(PHOTO), None, background=WHITE) == PHOTO).all()


def test_an_empty_matte_gives_an_empty_picture() -> None:
    empty = matte(np.zeros((8, 8), np.float32), WIDTH, HEIGHT)
    assert (run(saved(PHOTO), empty) == 0).all()
    assert (run(saved(PHOTO), empty, background=SLATE) == SLATE.rgb).all()


def test_a_full_matte_gives_the_photo_itself() -> None:
    full = matte(np.ones((8, 8), np.float32), WIDTH, HEIGHT)
    assert (run(saved(PHOTO), full) == PHOTO).all()


def test_sideways_photos_meet_their_matte_upright() -> None:
    from PIL import Image  # noqa: PLC0415

    top_half = np.zeros((HEIGHT, WIDTH), np.float32)
    top_half[: HEIGHT // 2] = 1
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.rot90(PHOTO)  # orientation 6 turns it clockwise again
    out = run(saved(np.ascontiguousarray(lying), exif=exif), matte(top_half, WIDTH, HEIGHT))
    assert out.shape == (HEIGHT, WIDTH, 4)
    assert (out[: HEIGHT // 2 - 4, :, 3] == 255).all()
    assert (out[: HEIGHT // 2 - 4, :, :3] == PHOTO[: HEIGHT // 2 - 4]).all()
    assert (out[HEIGHT // 2 + 4 :, :, 3] == 0).all()


def test_damage_is_an_image_error() -> None:
    origin = saved(PHOTO)
    facts = probe(origin, max_pixels=10**7)
    resolved = plan(Geometry(), width=WIDTH, height=HEIGHT, max_pixels=10**7)
    job = RenderJob(facts=facts, plan=resolved, background=None, format=ImageFormat.PNG)
    with pytest.raises(ImageError, match="matte"):
        render(origin, MATTE[:-10], job)
    with pytest.raises(ImageError, match="PNG"):
        render(origin[:60], MATTE, job)
