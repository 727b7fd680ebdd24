from __future__ import annotations

import gzip
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import svg_samples
from pellucid.errors import ImageError, ImageLimitError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.decode import decode_full, decode_scaled
from pellucid.image.probe import probe
from pellucid.image.sniff import HEAD_BYTES, check_head, sniff
from pellucid.image.svg import document
from pellucid.image.svg.prepare import drawable
from pellucid.image.svg.variables import resolve_variables
from svg_samples import BLUE, PAINTED, SIZES, XMLNS

SQUARE = f'<svg {XMLNS} width="40" height="20"><rect width="40" height="20" fill="#1e3cc8"/></svg>'
LONG = "x" * (2 * HEAD_BYTES)

PROLOGS: dict[str, str] = {
    "nothing": "",
    "spaces": "\n" * 2 * HEAD_BYTES,
    "declaration": '<?xml version="1.0" standalone="no"?>\n',
    "long comment": f"<!-- {LONG} -->",
    "comments": "<!-- - > - x -->\n" * 1000,
    "comment with markup": f"<!-- <html><body><svg> <!DOCTYPE html> {LONG} -->",
    "instruction": f'<?xml-stylesheet href="a.css" data="> {LONG}"?>',
    "document type": '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">',
    "entities": f"<!DOCTYPE svg [ <!ENTITY a \"]> &#60;svg>\"> <!-- ]> ' --> <?a ]> ?> <!ENTITY b '{LONG}'> ]>",
    "many entities": "<!DOCTYPE svg [" + "".join(f'<!ENTITY e{each} "b">' for each in range(2000)) + "\n]\n>",
    "all of it": f"<?xml version='1.0'?><!-- {LONG} --><!DOCTYPE svg [<!ENTITY a 'b'>]><?a b?><!-- {LONG} -->\n",
}


def pixels_of(data: bytes) -> np.ndarray:
    return vips.to_array(decode_full(data, probe(data, max_pixels=200_000_000)))


def test_the_samples_are_not_few() -> None:
    assert len(SIZES) > 30
    assert len(PAINTED) > 40


@pytest.mark.parametrize("prolog", PROLOGS.values(), ids=PROLOGS.keys())
@pytest.mark.parametrize("packing", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gzip"])
def test_whatever_stands_before_the_root_it_is_drawn(prolog: str, packing: str) -> None:
    text = prolog + SQUARE
    data = gzip.compress(text.encode()) if packing == "gzip" else text.encode(packing)
    check_head(data[:HEAD_BYTES])
    assert sniff(data) is ImageFormat.SVG
    pixels = pixels_of(data)
    assert pixels.shape == (20, 40, 4)
    assert (pixels == (*BLUE, 255)).all()


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252", "utf-8"])
def test_a_declared_encoding_is_kept_or_dropped_with_it(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><!-- \xe4\xf6\xfc -->' + SQUARE
    assert (pixels_of(text.encode(encoding)) == (*BLUE, 255)).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"<!DOCTYPE html><body>{SQUARE}</body>", "HTML"),
        (f"<!doctype HTML>{SQUARE}", "HTML"),
        (f"<html>{SQUARE}</html>", "HTML"),
        (f"<!-- {LONG} --><html>{SQUARE}</html>", "HTML|no known"),
        (f"<?xml version='1.0'?><!-- {LONG} --><rss>{SQUARE}</rss>", "XML"),
        (f"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML'><html>{SQUARE}</html>", "XML"),
        (f"<body>{SQUARE}</body>", "HTML"),
        (f"<p>{SQUARE}</p>", "no known"),
        (f"<svgs>{SQUARE}</svgs>", "no known"),
        (f"text {SQUARE}", "no known"),
        (f"<!-- {SQUARE}", "no known"),
        (f"<!DOCTYPE svg [ {SQUARE}", "no known"),
    ],
)
def test_a_page_with_a_drawing_in_it_is_none(text: str, words: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=words):
        sniff(text.encode())


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html><html><head>",
        b"<!doctype html>\n<html lang='en'>",
        b"<html>",
        b'{"error": 1, "text": "',
        b"<?xml version='1.0'?><rss>",
        b"hello ",
    ],
)
def test_what_is_no_picture_is_known_by_its_first_bytes(head: bytes) -> None:
    with pytest.raises(UnsupportedFormatError):
        check_head((head + b"x" * HEAD_BYTES)[:HEAD_BYTES])


_MEGABYTES = 20 << 20


@pytest.mark.parametrize(
    "text",
    [
        b"<!--" * (_MEGABYTES // 4),
        b"<!---->" * (_MEGABYTES // 7),
        b"<!--" + b"-" * _MEGABYTES,
        b"<?a?> " * (_MEGABYTES // 6),
        b" " * _MEGABYTES,
        b"<!DOCTYPE svg [" + b"<!--" * (_MEGABYTES // 4),
        b"<!DOCTYPE svg [" + b"<!ENTITY a '" * (_MEGABYTES // 12),
        b"<!DOCTYPE svg [" + b'"' * (_MEGABYTES + 1),
        b"<!DOCTYPE svg " + b"'a'" * (_MEGABYTES // 3),
        b"<!DOCTYPE svg [" + b"<?" * (_MEGABYTES // 2),
        b"<!DOCTYPE svg [" + b"<" * _MEGABYTES,
    ],
    ids=range(11),
)
def test_megabytes_before_a_root_that_never_comes_are_refused(text: bytes) -> None:
    # The time is linear: were it not, this would take hours.
    with pytest.raises(UnsupportedFormatError):
        sniff(text)


def test_a_bomb_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(SQUARE[:-6].encode()) + packer.compress(b" " * (100 << 20)) + packer.flush()
    assert sniff(bomb) is ImageFormat.SVG
    with pytest.raises(ImageLimitError, match="32 MiB"):
        probe(bomb, max_pixels=1_000_000)
    with pytest.raises(ImageLimitError):
        document.unpack(gzip.compress(b" " * 2000), max_bytes=1000)


def test_other_compressed_files_are_refused_for_what_they_are() -> None:
    for data in (gzip.compress(b"a,b\n1,2\n"), b"\x1f\x8b", b"\x1f\x8bgarbage"):
        with pytest.raises(UnsupportedFormatError, match="compressed data"):
            sniff(data)


def test_a_damaged_archive_is_refused() -> None:
    packed = bytearray(gzip.compress(("<!-- " + LONG + "-->" + SQUARE).encode()))
    packed[40:60] = b"\xff" * 20
    with pytest.raises(ImageError):
        probe(bytes(packed), max_pixels=1_000_000)


@pytest.mark.parametrize(("text", "size"), SIZES.values(), ids=SIZES.keys())
def test_it_is_as_large_as_in_a_browser(text: str, size: tuple[int, int]) -> None:
    facts = probe(text.encode(), max_pixels=1_000_000)
    assert (facts.width, facts.height) == size
    assert pixels_of(text.encode()).shape[:2] == size[::-1]


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="0" height="0"', (300, 150)),
        ('width="-10" height="20"', (300, 20)),
        ('width="0" height="0" viewBox="0 0 100 100"', (150, 150)),
        ('width="0.3" height="0.6"', (1, 1)),
        ('width="1e9" height="1e9"', (10_000, 10_000)),
        ('width="5000000" height="2500000"', (10_000, 5_000)),
        ('width="1e999" height="20"', (300, 20)),
        ('viewBox="0 0 1e9 1"', (300, 1)),
        ('viewBox="0 0 1e308 1e-308"', (300, 1)),
    ],
)
def test_absurd_sizes_are_limited(attributes: str, size: tuple[int, int]) -> None:
    facts = probe(f"<svg {XMLNS} {attributes}/>".encode(), max_pixels=100_000_000)
    assert (facts.width, facts.height) == size


def test_what_is_made_smaller_is_drawn_smaller() -> None:
    half = '<rect width="2000000" height="4000000" fill="#1e3cc8"/>'
    data = f'<svg {XMLNS} width="4000000" height="4000000">{half}</svg>'.encode()
    pixels = vips.to_array(decode_scaled(data, probe(data, max_pixels=100_000_000), width=40, height=40))
    assert (pixels[:, :20] == (*BLUE, 255)).all()
    assert (pixels[:, 20:, 3] == 0).all()


def test_nothing_is_moved_or_cut_off_without_a_size() -> None:
    inner = '<rect x="100" y="50" width="50" height="50" fill="#1e3cc8"/><rect x="290" y="140" width="90" height="90"/>'
    pixels = pixels_of(f"<svg {XMLNS}>{inner}</svg>".encode())
    rows, columns = np.nonzero((pixels[..., :3] == BLUE).all(axis=-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 99, 100, 149)
    assert (pixels[140:, 290:, 3] == 255).all()


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize(("text", "colours"), PAINTED.values(), ids=PAINTED.keys())
def test_colours_are_those_of_a_browser(text: str, colours: svg_samples.Colours, scale: int) -> None:
    data = text.encode()
    facts = probe(data, max_pixels=1_000_000)
    pixels = vips.to_array(decode_scaled(data, facts, width=40 * scale, height=20 * scale))
    for at, wanted in zip((10, 30), colours, strict=True):
        assert np.abs(pixels[10 * scale, at * scale, :3].astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("quotes", ["'", '"'])
@pytest.mark.parametrize("value", ["--x:url('a&amp;b');", "--x: \xe4 &lt; \u20ac", "font-family:&quot;A&quot;", ""])
def test_other_text_of_a_style_stays_as_it_is(value: str, quotes: str) -> None:
    value = value.replace("'", "&apos;") if quotes == "'" else value
    text = f"<svg {XMLNS}><rect style={quotes}{value}{quotes} fill='var(--y, #123456)'/></svg>"
    resolved = resolve_variables(text.encode()).decode()
    assert f"style={quotes}{value};fill:#123456{quotes}" in resolved


def test_what_needs_no_variables_is_left_alone() -> None:
    assert resolve_variables(SQUARE.encode()) == SQUARE.encode()


DOUBLING = "".join(f"--v{each}:var(--v{each + 1}) var(--v{each + 1});" for each in range(60)) + "--v60:1px"
CHAIN = "".join(f"--v{each}:var(--v{each + 1});" for each in range(3000))
OPEN, REFERRING = "<g fill='var(--x)'>", "<g fill='var(--x)'/>"
MANY, OWN = "".join(f"--v{each}:1;" for each in range(2000)), "<g style='--x:1;fill:var(--v1)'/>"
NESTED = "".join(f"<g style='--v{each}:1;fill:var(--v1)'>" for each in range(8000))
HOSTILE: dict[str, str] = {
    "doubling": f"<svg {XMLNS} style='{DOUBLING}'><rect fill='var(--v0, red)'/></svg>",
    "brackets": f"<svg {XMLNS}><rect style='fill:{'(' * 50_000}var(--x)'/></svg>",
    "fallbacks": f"<svg {XMLNS}><rect fill='{'var(--x,' * 5000}red'/></svg>",
    "long chain": f"<svg {XMLNS} style='{CHAIN}'><rect fill='var(--v0)'/></svg>",
    "many elements": f"<svg {XMLNS}>{REFERRING * 50_000}</svg>",
    "deep elements": f"<svg {XMLNS}>{OPEN * 15_000}{'</g>' * 15_000}</svg>",
    "much CSS": f"<svg {XMLNS}><style>{'a{fill:var(--x)}' * 100_000}</style></svg>",
    "selectors times elements": f"<svg {XMLNS}><style>{'* * *{--x:0}' * 3000}</style>{REFERRING * 16_000}</svg>",
    "variables times elements": f"<svg {XMLNS} style='{MANY}'>{OWN * 15_000}</svg>",
    "variables in variables": f"<svg {XMLNS}>{NESTED}{'</g>' * 8000}</svg>",
    "entities": "<!DOCTYPE svg ["
    + "".join(f"<!ENTITY e{each} '{f'&e{each + 1};' * 10}'>" for each in range(12))
    + f"<!ENTITY e12 'x'>]><svg {XMLNS} fill='var(--x)'>&e0;</svg>",
    "outside": f"<!DOCTYPE svg [<!ENTITY e SYSTEM 'file:///etc/hosts'>]><svg {XMLNS} fill='var(--x)'>&e;</svg>",
    "import": f"<svg {XMLNS}><style>@import url('http://127.0.0.1:9/');rect{{fill:var(--x,red)}}</style><rect/></svg>",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_styles_cost_little_and_give_little(text: str) -> None:
    data = text.encode()
    tracemalloc.start()
    try:
        assert len(resolve_variables(data)) < 4 * len(data) + 10_000
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


@given(st.text(alphabet="<>svg/!-?[]\"'= DOCTYPE&;x:{}()#.,*var\n\ufeff", max_size=120))
def test_no_text_upsets_it(text: str) -> None:
    for data in (text.encode(), f"<svg {XMLNS} style='{text}' fill='var(--x)'>{text}</svg>".encode()):
        try:
            drawable(data)
        except ImageError:
            continue


@given(st.text(alphabet=":root.a#b[c=d]{}>, *-;fillvar(--x)@media\"'()!important\n\\", max_size=200))
def test_no_style_sheet_upsets_it(css: str) -> None:
    escaped = css.replace("&", "").replace("<", "")
    data = f"<svg {XMLNS} class='a' id='b'><style>{escaped}</style><rect fill='var(--x, red)'/></svg>".encode()
    drawable(data)
