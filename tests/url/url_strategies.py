"""Arbitrary valid specs, and URLs as odd as text can make them."""

from __future__ import annotations

import string
from fractions import Fraction

from hypothesis import strategies as st

from pellucid.spec import (
    COMPASS,
    MAX_RADIUS,
    AspectRatio,
    AutoColour,
    Background,
    BlurredCopy,
    Colour,
    Effects,
    Enlarge,
    Fit,
    Flip,
    FocalPoint,
    FocalUnit,
    Geometry,
    Gravity,
    Interim,
    Length,
    Margin,
    OriginRef,
    Output,
    OutputFormat,
    Point,
    Radius,
    Removal,
    Source,
    Spec,
    Tier,
)
from pellucid.url.pages import _FILES

_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_PCHAR = _UNRESERVED + "!$&'()*+,;=:@"
_LOWER = string.ascii_lowercase + string.digits

# Normalised by construction: an encoded character is one that may not stand plain, or whose plain form means another.
_ENCODED = st.sampled_from([f"%{code:02X}" for code in range(0x20, 0x100) if chr(code) not in _UNRESERVED + "\x7f"])
_SEGMENT = st.lists(st.sampled_from(_PCHAR) | _ENCODED, max_size=8).map("".join).filter(lambda s: s not in (".", ".."))

paths = st.lists(_SEGMENT, max_size=5).map(lambda segments: "/" + "/".join(segments))
queries = st.lists(st.sampled_from(_PCHAR + "/?") | _ENCODED, max_size=20).map("".join)

_LABEL = st.text(_LOWER + "-_", min_size=1, max_size=12)
_NAME = st.lists(_LABEL, min_size=1, max_size=4).map(".".join).filter(lambda n: not _ends_like_none(n))
_ADDRESS = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda a: f"[{a.compressed}]")
_PORT = st.none() | st.sampled_from([80, 443, 8080]) | st.integers(1, 65535)


def _ends_like_none(name: str) -> bool:
    """Like a number, which only addresses do, or like a file."""
    last = name.rpartition(".")[2]
    return (
        last in _FILES
        or last.isdecimal()
        or (last.startswith("0x") and all(digit in string.hexdigits for digit in last[2:]))
    )


@st.composite
def hosted(draw: st.DrawFn) -> OriginRef:
    scheme = draw(st.sampled_from([None, "http", "https"]))
    host = draw(_NAME | _ADDRESS | st.just("localhost"))
    port = draw(_PORT)
    if port is None or (scheme, port) in (("http", 80), ("https", 443)):
        if scheme is None and "." not in host and not host.startswith("[") and host != "localhost":
            host += ".example"
        if scheme is None and host.startswith("_") and host.endswith("_"):
            host += ".example"  # without a scheme that is an alias
        return OriginRef(scheme=scheme, host=host, path=draw(paths), query=draw(queries))
    return OriginRef(scheme=scheme, host=f"{host}:{port}", path=draw(paths), query=draw(queries))


aliased = st.builds(OriginRef, alias=st.text(_PCHAR, min_size=1, max_size=10).map(lambda n: f"_{n}_"), path=paths)
origins = hosted() | aliased

_SIZE = st.none() | st.integers(1, 5000) | st.floats(0, 1e6, exclude_min=True, exclude_max=True)
_CHANNEL = st.sampled_from([0, 255]) | st.integers(0, 255)
colours = st.builds(Colour, red=_CHANNEL, green=_CHANNEL, blue=_CHANNEL, alpha=_CHANNEL)

_URL_CHARACTERS = st.sampled_from(_PCHAR + '%/?[]\\"<>{}|^`')
callbacks = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.just("h.example") | st.text(_LOWER + ".:-[]%&=+", min_size=1, max_size=20),
    st.just("")
    | st.text(_URL_CHARACTERS, max_size=30).map("/{}".format)
    | st.text(_PCHAR, max_size=9).map("?{}".format),
)

_RATIO = st.fractions(Fraction(1, 1000), 1000, max_denominator=10_000)
_LENGTH = st.builds(Length, st.floats(0, 1e5)) | st.builds(Length, st.floats(0, 50), st.just(True))
_POINT = st.builds(Point, st.floats(0, 1e6), st.floats(0, 1e6))
_FOCAL = st.builds(FocalPoint, st.floats(0, 1e6), st.floats(0, 1e6)) | st.builds(
    FocalPoint, st.floats(0, 100), st.floats(0, 100), st.sampled_from([FocalUnit.PERCENT, FocalUnit.RESULT_PERCENT])
)
_CORNER = st.floats(0, 1e5) | st.just(MAX_RADIUS)

geometries = st.builds(
    Geometry,
    width=_SIZE,
    height=_SIZE,
    fit=st.sampled_from(Fit),
    gravity=st.sampled_from(Gravity) | _FOCAL,
    aspect_ratio=st.none() | st.lists(_RATIO, min_size=2, max_size=2).map(lambda two: AspectRatio(*sorted(two))),
    enlarge=st.sampled_from(Enlarge),
    fit_enlarge=st.booleans(),
    margin=st.none() | st.builds(Margin, _LENGTH, _LENGTH, _LENGTH, _LENGTH),
    dpr=st.just(1.0) | st.floats(0, 5, exclude_min=True),
    top_left=st.none() | _POINT,
    bottom_right=st.none() | _POINT,
    trim=st.floats(0, 100),
    flip=st.none() | st.sampled_from(Flip),
    rotation=st.just(0.0) | st.floats(0, 360, exclude_max=True),
    radius=st.none()
    | st.builds(Radius, _CORNER, _CORNER, _CORNER, _CORNER).filter(lambda radius: radius != Radius(0, 0, 0, 0)),
    face_margin=st.floats(0, 1000),
)
"""All that `url.parse` can make; numbers of more than 40 decimals are none."""

specs = st.builds(
    Spec,
    origin=origins,
    version=st.just("") | st.text(string.ascii_letters + "&=,.+ ", min_size=1, max_size=64),
    removal=st.builds(
        Removal,
        remove=st.booleans(),
        tier=st.none() | st.sampled_from(Tier),
        interim=st.sampled_from(Interim),
        notify=st.none() | callbacks,
    ),
    geometry=geometries,
    background=st.builds(
        Background,
        colour=st.none() | colours | st.just(AutoColour.MAIN),
        image_fit=st.booleans(),
        copy=st.builds(
            BlurredCopy,
            blur=st.none() | st.floats(0, 1000),
            opacity=st.floats(0, 1),
            tint=st.none() | colours,
            gravity=st.sampled_from(COMPASS),
        ),
    ),
    effects=st.builds(Effects, sharpen=st.just(0.0) | st.floats(2, 100)),
    source=st.builds(Source, page=st.integers(1, 999_999)),
    output=st.builds(
        Output,
        formats=st.lists(st.sampled_from(OutputFormat), unique=True, max_size=4).map(tuple),
        quality=st.none() | st.integers(1, 100),
        optipress=st.none() | st.integers(1, 3),
        download=st.booleans(),
    ),
)

_TOKENS = [
    *["/", "//", "/v7/", "http://", "https:/", "HTTPS%3A%2F%2F", "http%3a//", "ftp://", "_a_", "_", "a.b", "localhost"],
    *["[::1]", "[fe80::1%25x]", "1.2.3.4", "127.1", "0x7f.1", ":80", ":443", ":99999", ":", "@", "u:p@", "..", "/../"],
    *["%2e%2E", "%2F", "%3F", "?", "%3A", "%40", "%00", "%0a", "%", "%%", "%zz", "%25", "%2525", "%C3%A9", "%FF", "é"],
    *["\u00c3\u00a9", "ß", "\u3002", "\uff0f", "\u2024", "İ", "xn--", "\ud800", "#", "\\", " ", "\t", "\0", "a" * 64],
]
_STARTS = ["h.example/", "/v7/https://h.example:81/", "https%3A%2F%2Fh.example%2F", "h.example%2F", "_a_/", "http:/h/"]
_ODD = st.lists(st.sampled_from(_TOKENS) | st.text(max_size=3), max_size=8).map("".join)
addresses = st.builds(str.__add__, st.just("") | st.sampled_from(_STARTS), _ODD)
"""Text that comes near to an address."""

_PIECES = [
    *["w", "width", "h", "func", "org_if_sml", "bg_remove", "bg_color", "bg_colour", "force_format", "q"],
    *[
        "bg_notify",
        "https://h.example/",
        "https%3A%2F%2Fh%3Fx=1",
        "ci_url_encoded",
        "=",
        "&",
        "?",
        "+",
        "%",
        "%3D",
        "1",
        "0",
        "400",
        "562.5",
        "-1",
        "1e3",
        ".",
        "red",
        "#fff",
    ],
    *["%23abc", "webp", "_webp", "webp,avif,jpg", "original", ",", "%2C", "crop", "\uff11", "é", "\0"],
]
query_texts = st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=12).map("".join)
"""Text that comes near to a query."""
