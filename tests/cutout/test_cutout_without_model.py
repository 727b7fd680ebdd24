"""The engine where a picture says by itself what its foreground is: no tier asks the model, whatever the file."""

from __future__ import annotations

import io

import graphic_samples as made
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pellucid.engine import Engine
from pellucid.image.examine import examine
from pellucid.image.matte_file import MatteHeader, matte_at, unpack_header
from pellucid.image.vips import to_array
from pellucid.inference.runtime import Session
from pellucid.spec import Tier
from tiny import TinyModel


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    """Bright is foreground to its model: dark words on transparency, over white, are background."""
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> NDArray[np.float32]:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(Session, "run", run)


def saved(rgba: NDArray[np.uint8], format_: str) -> bytes:
    data = io.BytesIO()
    image = Image.fromarray(rgba)
    if format_ == "palette PNG":
        image.quantize(32, method=Image.Quantize.FASTOCTREE).save(data, "PNG")
    else:
        image.save(data, format_)
    return data.getvalue()


def matte_of(engine: Engine, data: bytes, tier: Tier) -> tuple[MatteHeader, NDArray[np.uint8]]:
    facts = examine(data, max_pixels=10**7)
    blob = engine.make_matte(data, facts, tier=tier)
    return unpack_header(blob), to_array(matte_at(blob, width=facts.width, height=facts.height))[..., 0]


def cut_out_logo() -> NDArray[np.uint8]:
    """A mark and white words on transparency."""
    mark, text = made.Canvas(800, 240, made.BLACK), made.Canvas(800, 240, made.BLACK)
    mark.disc((30, 40, 190, 200), made.RED)
    text.text((220, 70), "White Co", 100, made.WHITE)
    alpha = np.maximum(mark.done().alpha, text.done().alpha)
    rgb = np.where(text.done().alpha[..., None] > 0, 255, np.array(made.RED))
    return np.dstack((rgb, np.rint(alpha * 255))).astype(np.uint8)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("format_", ["PNG", "palette PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_a_cut_out_picture_stays_as_it_is(engine: Engine, format_: str, tier: Tier) -> None:
    data = saved(cut_out_logo(), format_)
    header, matte = matte_of(engine, data, tier)
    assert (matte == 255).all()
    assert not header.empty
    assert header.confidence >= 0.95
    cutout = engine.cut(data, tier=tier)
    seen = cutout.photo[..., 3] > 0
    assert (cutout.rgba()[seen] == cutout.photo[seen]).all()
    assert cutout.confidence == pytest.approx(header.confidence)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize(("format_", "least"), [("PNG", 0.97), ("GIF", 0.97), ("JPEG", 0.75), ("WEBP", 0.65)])
def test_a_flat_graphic_is_cut_by_its_colours(engine: Engine, format_: str, least: float, tier: Tier) -> None:
    drawn = made.logo()
    header, matte = matte_of(engine, saved(drawn.rgb, format_), tier)
    assert (matte[:30] == 0).all()
    assert ((matte >= 128) == (drawn.alpha >= 0.5)).mean() > 0.99
    assert header.confidence >= least
    assert not header.empty


@pytest.mark.parametrize("tier", list(Tier))
def test_a_drawing_that_does_not_fit_goes_to_the_model_and_its_confidence_says_so(engine: Engine, tier: Tier) -> None:
    header, _ = matte_of(engine, saved(made.poster(), "PNG"), tier)
    assert header.confidence <= 0.6


@pytest.mark.parametrize("tier", list(Tier))
def test_a_photograph_with_an_alpha_goes_to_the_model(engine: Engine, tier: Tier) -> None:
    """In a channel that says nothing: the matte is the one that the photograph without it gets."""
    rgb = np.asarray(Image.fromarray(next(iter(made.photographs().values()))).resize((300, 200)))
    opaque = np.dstack((rgb, np.full(rgb.shape[:2], 255, np.uint8)))
    _, with_alpha = matte_of(engine, saved(opaque, "PNG"), tier)
    _, without = matte_of(engine, saved(rgb, "PNG"), tier)
    assert np.abs(with_alpha.astype(int) - without).mean() < 1
    assert without.min() == 0


@pytest.mark.parametrize("tier", list(Tier))
def test_what_is_cut_out_beside_a_photograph_stays(engine: Engine, tier: Tier) -> None:
    """Dark words, which the model deletes, below a photograph, about which it decides."""
    photo = np.asarray(Image.fromarray(next(iter(made.photographs().values()))).resize((400, 300)))
    rgba = np.zeros((460, 400, 4), np.uint8)
    rgba[:300, :, :3], rgba[:300, :, 3] = photo, 255
    words = Image.new("L", (400, 160))
    ImageDraw.Draw(words).text((30, 40), "dark words", fill=255, font_size=50)
    rgba[300:, :, 3] = np.asarray(words)
    header, matte = matte_of(engine, saved(rgba, "PNG"), tier)
    assert (matte[310:][rgba[310:, :, 3] > 0] == 255).all()
    assert matte[:280].min() == 0
    assert not header.empty
