"""`pellucid cut` with a tiny model: where results go, what is never overwritten, what is said."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import run_in_process
from pellucid.cli.results import Results, StoppedError
from pellucid.cli.targets import WRITTEN_AS
from pellucid.formats import WRITABLE
from tiny import TinyModel, with_grain

pytestmark = pytest.mark.slow

Cut = Callable[..., subprocess.CompletedProcess[str]]


def _picture(width: int = 96, height: int = 64) -> Image.Image:
    """A bright square, which the tiny model takes for the subject, on black, with grain."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 4 : -height // 4, width // 4 : -width // 4] = (250, 240, 230)
    return Image.fromarray(with_grain(pixels))


def _apple_double() -> bytes:
    """What macOS writes beside a file on a disk that is not its own: no picture, whatever it is called."""
    return b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(4000)


@pytest.fixture
def cut(tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """The command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    tiny = {"PELLUCID_MODELS_DIR": str(tiny_model.models_dir), "PELLUCID_MODEL_CARDS": str(tiny_model.cards)}

    def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        done = run_in_process("cut", *map(str, arguments), "-m", "tiny", environ=own | tiny | environ)
        assert "Traceback" not in done.stderr
        assert "origin" not in done.stderr
        return done

    return run


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_endings_are_those_of_the_formats_that_are_written() -> None:
    assert set(WRITTEN_AS) == {".png", ".webp", ".avif", ".gif", ".jpg", ".jpeg"}
    assert set(WRITTEN_AS.values()) == WRITABLE


@pytest.mark.parametrize(
    ("output", "format_", "mode"),
    [
        ("result.png", "PNG", "RGBA"),
        ("result.PNG", "PNG", "RGBA"),
        ("new/er/result.webp", "WEBP", "RGBA"),
        ("result.jpg", "JPEG", "RGB"),
        ("a b.é.jpeg", "JPEG", "RGB"),
    ],
)
def test_for_one_picture_the_output_may_be_a_file(
    cut: Cut, tmp_path: Path, output: str, format_: str, mode: str
) -> None:
    _picture().save("mug.bmp")
    done = cut("mug.bmp", "-o", output)
    assert done.returncode == 0, done.stderr
    assert _names(tmp_path) == sorted(["mug.bmp", output])
    with Image.open(output) as image:
        assert (image.format, image.mode, image.size) == (format_, mode, (96, 64))
        corner, centre = image.getpixel((0, 0)), image.getpixel((48, 32))
    assert isinstance(corner, tuple)
    assert isinstance(centre, tuple)
    assert corner[3] < 10 if mode == "RGBA" else min(corner) > 245  # JPEG: on white
    assert min(centre) > 220


@pytest.mark.parametrize("ending", [".tiff", ".jp2", ".heic", ".bmp", ".svg", ".txt", ".7"])
def test_an_ending_that_is_not_written_is_said_before_any_work(cut: Cut, tmp_path: Path, ending: str) -> None:
    _picture().save("mug.png")
    done = cut("mug.png", "-o", f"result{ending}", PELLUCID_MODELS_DIR=str(tmp_path / "none"))
    assert done.returncode == 1
    for said in (f"result{ending} cannot be written", ".avif, .gif, .jpg, .png, .webp, .jpeg", f"result{ending}/"):
        assert said in done.stderr
    assert _names(tmp_path) == ["mug.png"]


@pytest.mark.parametrize("output", ["out", "out/", "out.png/", "there", "there.png", "a/b/", "."])
def test_a_slash_a_folder_that_is_there_and_a_bare_name_are_folders(cut: Cut, tmp_path: Path, output: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there.png").mkdir()
    _picture().save("mug.bmp")
    done = cut("mug.bmp", "-o", output)
    assert done.returncode == 0, done.stderr
    assert _names(tmp_path) == sorted(["mug.bmp", str(Path(output) / "mug.png")])


def test_several_pictures_and_those_of_a_folder_go_into_a_folder(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        _picture().save(tmp_path / "in" / name)
    for inputs in (["in"], ["in/a.png", "in/b.jpg"]):
        refused = cut(*inputs, "-o", "out.png")
        assert refused.returncode == 1
        assert "several pictures are written into a folder" in refused.stderr
    assert _names(tmp_path) == ["in/a.png", "in/b.jpg"]
    assert cut("in", "-o", "out").returncode == 0
    assert _names(tmp_path / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize("output", ["taken", "taken/", "taken/deeper"])
def test_a_file_in_the_place_of_a_folder(cut: Cut, tmp_path: Path, output: str) -> None:
    _picture().save("mug.png")
    (tmp_path / "taken").write_text("a file")
    done = cut("mug.png", "-o", output)
    assert done.returncode == 1
    assert "taken" in done.stderr
    assert (tmp_path / "taken").read_text() == "a file"


def test_an_output_without_a_name(cut: Cut) -> None:
    _picture().save("mug.png")
    done = cut("mug.png", "-o", "")
    assert (done.returncode, "-o names nothing" in done.stderr) == (1, True)


def test_what_is_there_already_is_left_and_said_and_the_rest_is_cut(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg", "c.webp"):
        _picture().save(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_text("retouched by hand")
    done = cut("in", "-o", "out")
    assert done.returncode == 1
    assert "skipped 1 picture whose result is there already; --overwrite replaces it: out/b.png" in done.stderr
    assert "2/2" in done.stderr
    assert _names(tmp_path / "out") == ["a.png", "b.png", "c.png"]
    assert (tmp_path / "out" / "b.png").read_text() == "retouched by hand"

    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ("a.png", "b.png", "c.png")}
    again = cut("in", "-o", "out", PELLUCID_MODELS_DIR=str(tmp_path / "none"))
    assert again.returncode == 1
    assert "skipped 3 pictures whose results are there already; --overwrite replaces them" in again.stderr
    assert "weights" not in again.stderr, "where nothing is to be done no model is needed"
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before}

    over = cut("in", "-o", "out", "--overwrite")
    assert (over.returncode, "skipped" in over.stderr) == (0, False)
    for name in before:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
            assert image.mode == "RGBA"


def test_a_file_named_as_output_is_not_overwritten_either(cut: Cut, tmp_path: Path) -> None:
    _picture().save("mug.jpg")
    (tmp_path / "result.png").write_text("mine")
    (tmp_path / "link.png").symlink_to("nowhere.png")
    for output in ("result.png", "link.png"):
        done = cut("mug.jpg", "-o", output)
        assert (done.returncode, f"there already; --overwrite replaces it: {output}" in done.stderr) == (1, True)
    assert (tmp_path / "result.png").read_text() == "mine"
    assert _names(tmp_path) == ["mug.jpg", "result.png"]
    assert cut("mug.jpg", "-o", "result.png", "--overwrite").returncode == 0
    with Image.open(tmp_path / "result.png") as image:
        assert image.mode == "RGBA"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_an_input_is_never_overwritten(cut: Cut, tmp_path: Path, link: str, overwrite: list[str]) -> None:
    _picture().save("mug.png")
    _picture(32, 32).save("other.jpg")
    target = tmp_path / "result.png"
    if link == "symbolic":
        target.symlink_to("mug.png")
    elif link == "hard":
        target.hardlink_to("mug.png")
    else:
        target = tmp_path / "mug.png"
    before = (tmp_path / "mug.png").read_bytes()
    done = cut("mug.png", "-o", target, *overwrite)
    assert (done.returncode, "is a picture that is to be cut, and is never replaced" in done.stderr) == (1, True)
    if link == "same":
        done = cut("mug.png", "other.jpg", "-o", tmp_path, *overwrite)
        assert (done.returncode, "is a picture that is to be cut, and is never replaced" in done.stderr) == (1, True)
        assert not (tmp_path / "other.png").exists()
    assert (tmp_path / "mug.png").read_bytes() == before
    assert target.is_symlink() == (link == "symbolic")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_in_the_place_of_a_result(cut: Cut, tmp_path: Path, overwrite: list[str]) -> None:
    _picture().save("mug.jpg")
    (tmp_path / "out" / "mug.png").mkdir(parents=True)
    done = cut("mug.jpg", "-o", "out", *overwrite)
    assert (done.returncode, "is there and is no file" in done.stderr) == (1, True)


def test_two_pictures_that_would_be_one_file_are_refused_before_any_work(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "more").mkdir()
    for name in ("in/a.png", "in/b.jpg", "more/a.webp", "more/b.png", "more/c.png"):
        _picture().save(tmp_path / name)
    done = cut("in", "more", "-o", "out", "--overwrite")
    assert done.returncode == 1
    assert "in/a.png and more/a.webp" in done.stderr
    assert "in/b.jpg and more/b.png" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_named_twice_is_cut_once(cut: Cut, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _picture().save(tmp_path / "in" / "a.jpg")
    (tmp_path / "link").symlink_to("in")
    done = cut("in/a.jpg", "in", "link/../in/a.jpg", "link", tmp_path / "in" / "a.jpg", "-o", "out")
    assert (done.returncode, "1/1" in done.stderr) == (0, True)


def test_hidden_files_of_a_folder_are_left_out_and_said(cut: Cut, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _picture().save(folder / "mug.jpg")
    (folder / "._mug.jpg").write_bytes(_apple_double())
    shutil.copy(folder / "mug.jpg", folder / ".hidden.jpg")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"):
        (folder / name).write_bytes(b"\0\0\0\1Bud1")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._mug.jpg").write_bytes(_apple_double())
    done = cut("in", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "left out 2 hidden files: in/._mug.jpg, in/.hidden.jpg" in done.stderr
    assert _names(tmp_path / "out") == ["mug.png"]
    nothing = cut("in/__MACOSX", "-o", "out2")
    assert nothing.returncode == 1
    assert "there are no pictures in in/__MACOSX (but hidden files: in/__MACOSX/._mug.jpg)" in nothing.stderr
    assert not (tmp_path / "out2").exists()


def test_a_hidden_file_that_is_named_is_tried(cut: Cut, tmp_path: Path) -> None:
    _picture().save(tmp_path / "mug.jpg")
    (tmp_path / "mug.jpg").rename(".mug.jpg")
    (tmp_path / "._mug.jpg").write_bytes(_apple_double())
    done = cut(".mug.jpg", "._mug.jpg", "-o", "out")
    assert done.returncode == 1
    assert "._mug.jpg: these are bytes of no known image format" in done.stderr
    assert _names(tmp_path / "out") == [".mug.png"]


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mug.jpg", b"x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "there are no bytes at all"),
        (b"<!doctype html><html><body>sign in</body></html>", "this is an HTML page, not an image"),
        (b"<?xml version='1.0'?><rss/>", "this is an XML document, not an image"),
        (b'{"error": "not found"}', "this is JSON, not an image"),
        (b"%PDF-1.7", "the PDF document cannot be read: it is damaged or cut short"),
        (b"8BPS\0\1", "this is a Photoshop file, which is not supported"),
        (b"\xff\x0a" + bytes(50), ""),
        (b"\x00\x00\x00\x18ftypmp42\0\0\0\0mp42isom", "this is a video or another ISO media file, not an image"),
        (_zipped(), "this is an archive, not an image"),
        (b"plain words", "these are bytes of no known image format"),
        (b"\xff\xd8\xff\xe0", ""),
    ],
    ids=lambda each: repr(each)[:24],
)
def test_what_is_no_picture_is_spoken_of_as_a_file_and_stops_no_other(
    cut: Cut, tmp_path: Path, data: bytes, said: str
) -> None:
    _picture().save("sound.png")
    (tmp_path / "picture.jpg").write_bytes(data)
    done = cut("picture.jpg", "sound.png", "-o", "out")
    assert done.returncode == 1
    assert f"picture.jpg: {said}" in done.stderr
    assert _names(tmp_path / "out") == ["sound.png"]


def test_what_is_missing_is_said_at_once(cut: Cut, tmp_path: Path) -> None:
    _picture().save("sound.png")
    os.mkfifo(tmp_path / "pipe.png")
    done = cut("sound.png", "gone.png", "*.jpg", "pipe.png", "-o", "out")
    assert done.returncode == 1
    for said in ("gone.png is not there", "*.jpg is not there", "pipe.png is no file"):
        assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_too_large_for_its_format_is_said(cut: Cut, tmp_path: Path) -> None:
    _picture(16_500, 32).save("long.png")
    done = cut("long.png", "-o", "long.webp")
    assert done.returncode == 1
    assert "WEBP holds 16383 pixels a side at most" in done.stderr
    assert _names(tmp_path) == ["long.png"]


class TestResults:
    def test_what_came_to_be_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        target = tmp_path / "a.png"
        results = Results(overwrite=False)
        target.write_text("somebody else's")
        with pytest.raises(FileExistsError):
            results.write(target, b"mine")
        assert target.read_text() == "somebody else's"
        assert _names(tmp_path) == ["a.png"]

    def test_on_a_file_system_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        results = Results(overwrite=False)
        results.write(tmp_path / "a.png", b"mine")
        assert (tmp_path / "a.png").read_bytes() == b"mine"
        with pytest.raises(FileExistsError):
            results.write(tmp_path / "a.png", b"other")
        assert (tmp_path / "a.png").read_bytes() == b"mine"
        assert _names(tmp_path) == ["a.png"]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_threads_that_are_stopped_leave_whole_files_only(self, tmp_path: Path, overwrite: bool) -> None:
        results = Results(overwrite=overwrite)
        data = bytes(range(256)) * 40_000

        def write_many(thread: int) -> None:
            try:
                for number in range(10_000):
                    results.write(tmp_path / f"{thread}-{number}.png", data)
            except StoppedError:
                pass

        threads = [threading.Thread(target=write_many, args=(each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        while len(_names(tmp_path)) < 8:
            pass
        written = results.stop()
        at_once = set(_names(tmp_path))
        assert at_once == {path.name for path in written}
        for thread in threads:
            thread.join()
        assert set(_names(tmp_path)) == at_once, "nothing comes to be after the stop"
        assert {path.stat().st_size for path in written} == {len(data)}

    def test_a_disk_that_takes_no_more_leaves_nothing_half_written(self, tmp_path: Path) -> None:
        (tmp_path / "old.png").write_text("whole")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            for name in ("new.png", "old.png"):
                with pytest.raises(OSError, match="File too large"):
                    Results(overwrite=True).write(tmp_path / name, bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert _names(tmp_path) == ["old.png"]
        assert (tmp_path / "old.png").read_text() == "whole"


def test_it_does_without_what_a_server_needs() -> None:
    """A database and web servers, whose import takes 0.2 s."""
    code = (
        "import sys, pellucid.cli.cut; print(*{'sqlalchemy', 'aiohttp', 'starlette', 'uvicorn'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"\n"
