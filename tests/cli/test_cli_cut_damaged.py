"""`pellucid cut` on files that are cut short: cut as far as they go, and named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from command_line import run_in_process
from tiny import TinyModel


def _picture(format_: str) -> bytes:
    pixels = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)
    pixels[30:60, 40:80] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_)
    return out.getvalue()


def test_a_damaged_file_is_cut_and_named(tmp_path: Path, tiny_model: TinyModel) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for format_ in ("JPEG", "PNG", "WEBP"):
        data = _picture(format_)
        (folder / f"whole-{format_}.{format_}".lower()).write_bytes(data)
        (folder / f"half-{format_}.{format_}".lower()).write_bytes(data[: len(data) // 2])
    environ = {
        "PELLUCID_MODELS_DIR": str(tiny_model.models_dir),
        "PELLUCID_MODEL_CARDS": str(tiny_model.cards),
        "PELLUCID_MODEL_NAME": "tiny",
        "PELLUCID_MODEL_PRECISION": "f32",
        "HOME": str(tmp_path),
    }

    def cut(*names: str) -> tuple[int, str]:
        files = [str(folder / name) for name in names]
        done = run_in_process("cut", *files, "-o", str(tmp_path / "out"), environ=environ)
        return done.returncode, done.stderr.replace("\n", " ")

    status, said = cut("whole-jpeg.jpeg", "half-jpeg.jpeg", "half-png.png")
    assert status == 0, said
    for name in ("half-jpeg.jpeg", "half-png.png"):
        assert f"{name}: the file is damaged or cut short" in said
        with Image.open(tmp_path / "out" / Path(name).with_suffix(".png")) as image:
            assert (image.mode, image.size) == ("RGBA", (120, 90))
    assert "whole-jpeg.jpeg: the file" not in said

    status, said = cut("whole-webp.webp", "half-webp.webp")
    assert status == 1, "nothing of it can be shown"
    assert "half-webp.webp: " in said
    assert "damaged or cut short" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("half-jpeg.png", "half-png.png", "whole-jpeg.png", "whole-webp.png")
    ]
