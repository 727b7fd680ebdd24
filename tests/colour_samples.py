"""Pictures that say of their colours what they are, made by code: eight colours in two rows, in each way of saying it.

`pictures` has them by name, for the comparison with what a browser shows.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Chunk = tuple[bytes, bytes]
Levels = NDArray[np.uint8] | NDArray[np.uint16]

COLOURS = (
    (200, 30, 30),
    (30, 180, 40),
    (30, 40, 220),
    (240, 220, 20),
    (128, 128, 128),
    (60, 60, 60),
    (250, 128, 10),
    (20, 200, 200),
)
SIDE = 16

D65 = (0.3127, 0.3290)
SRGB = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
BT2020 = (*D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
"""Chromaticities in the order of a cHRM chunk: x and y of white, red, green, blue."""


def card(alpha: int | None = None) -> NDArray[np.uint8]:
    """(2 * SIDE, 4 * SIDE, 3 or 4): the colours, four in a row."""
    pixels = np.array(COLOURS, np.uint8).reshape(2, 4, 3).repeat(SIDE, axis=0).repeat(SIDE, axis=1)
    return pixels if alpha is None else np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)])


def middles(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(8, bands): the colour in the middle of each."""
    return pixels[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].reshape(8, -1).astype(np.int64)


def deep(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same with 16 bits."""
    return pixels.astype(np.uint16) * 257


# PNG


def png(pixels: Levels, *chunks: Chunk, palette: bytes = b"", transparency: bytes = b"") -> bytes:
    """A PNG of (height, width) or (height, width, 1 to 4), with `chunks` before what else there is."""
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, data)
        for name, data in (
            (b"IHDR", header),
            *chunks,
            *([(b"PLTE", palette)] if palette else []),
            *([(b"tRNS", transparency)] if transparency else []),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
    )


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def gama(gamma: float) -> Chunk:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def chrm(points: Sequence[float]) -> Chunk:
    return b"cHRM", struct.pack(">8I", *(round(each * 100_000) for each in points))


def srgb(intent: int = 0) -> Chunk:
    return b"sRGB", bytes([intent])


def cicp(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> Chunk:
    return b"cICP", bytes([primaries, transfer, matrix, full_range])


def iccp(profile: bytes) -> Chunk:
    return b"iCCP", b"p\0\0" + zlib.compress(profile)


def clli(nits: float) -> Chunk:
    return b"cLLI", struct.pack(">II", round(nits * 10_000), round(nits * 1000))


def mdcv(nits: float) -> Chunk:
    points = (BT2020[2:] + BT2020[:2]) if nits else (0.0,) * 8
    return b"mDCV", struct.pack(">8HII", *(round(each * 50_000) for each in points), round(nits * 10_000), 50)


# ICC


def profile(primaries: Sequence[float], exponent: float, *, cicp_codes: tuple[int, int] | None = None) -> bytes:
    """A matrix profile with one power function; with a `cicp` tag if codes are given."""
    matrix = to_xyz(primaries)
    white = matrix.sum(axis=1)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford @ matrix
    fixed = lambda value: struct.pack(">i", round(float(value) * 65536))  # noqa: E731
    curve = b"para\0\0\0\0\0\0\0\0" + fixed(exponent)
    text = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", 2, 28) + b"\0p\0\0"
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", b"XYZ \0\0\0\0" + b"".join(map(fixed, d50)))]
    for index, letter in enumerate((b"r", b"g", b"b")):
        tags.append((letter + b"XYZ", b"XYZ \0\0\0\0" + b"".join(map(fixed, adapted[:, index]))))
        tags.append((letter + b"TRC", curve))
    if cicp_codes is not None:
        tags.append((b"cicp", b"cicp\0\0\0\0" + bytes([*cicp_codes, 0, 1])))
    start, directory, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        directory += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + b"".join(map(fixed, d50)) + bytes(48) + struct.pack(">I", len(tags)) + directory + body


def grey_profile(exponent: float) -> bytes:
    """For pictures of one channel."""
    whole = profile(SRGB, exponent)
    return whole[:16] + b"GRAY" + whole[20:].replace(b"rTRC", b"kTRC", 1)


SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# AVIF


_EXACT = {"quality": 100, "subsampling": "4:4:4", "speed": 8}


@lru_cache(maxsize=16)
def _avif(kind: str, **options: Any) -> bytes:
    """Of the kind "rgb", "rgba" (half transparent) or "grey"."""
    pixels = {"rgb": card(), "rgba": card(128), "grey": card()[..., 1]}[kind]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "AVIF", **(_EXACT | options))
    return buffer.getvalue()


@lru_cache(maxsize=16)
def lossless_avif(*, bits: int = 8, alpha: int | None = None) -> bytes:
    """The card in AVIF, exact, by the identity matrix."""
    import pyvips  # noqa: PLC0415 - the libvips of the product

    pixels = card(alpha) if bits == 8 else deep(card(alpha))
    height, width, bands = pixels.shape
    band_format, interpretation = ("uchar", "srgb") if bits == 8 else ("ushort", "rgb16")
    image = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, bands, band_format)
    return image.copy(interpretation=interpretation).heifsave_buffer(
        compression="av1", bitdepth=bits, lossless=True, effort=1
    )


def avif(kind: str = "rgb", *, codes: tuple[int, int, int] | None = None, full: bool = True, **options: Any) -> bytes:
    """The card in AVIF by Pillow; its samples are BT.601's, whatever `codes` say of them."""
    data = _avif(kind, **options)
    return data if codes is None else with_codes(data, codes, full=full)


def with_codes(data: bytes, codes: tuple[int, int, int], *, full: bool = True) -> bytes:
    """The file with other codes in its `colr` boxes."""
    new = struct.pack(">HHHB", *codes, full << 7)
    parts = data.split(b"colrnclx")
    return parts[0] + b"".join(b"colrnclx" + new + part[7:] for part in parts[1:])


def without_colours(data: bytes) -> bytes:
    """The file with nothing in place of its first `colr` box."""
    return data.replace(b"colrnclx", b"freenclx", 1)


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def colr(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, full << 7))


def icc_colr(data: bytes, *, kind: bytes = b"prof") -> bytes:
    return box(b"colr", kind, data)


def brightness(nits: int) -> bytes:
    return box(b"clli", struct.pack(">HH", nits, nits // 10))


def with_properties(data: bytes, *properties: bytes, first: bool = False) -> bytes:
    """An AVIF file of Pillow's with more properties for its first item, before or after those that it has."""
    ipco, ipma = _box_at(data, b"ipco"), _box_at(data, b"ipma")
    known = sum(1 for _ in _boxes(ipco[8:]))
    count = ipma[18]
    numbers = bytes(range(known + 1, known + 1 + len(properties)))
    at = 19 if first else 19 + count
    new_ipma = box(b"ipma", ipma[8:18], bytes([count + len(properties)]), ipma[19:at], numbers, ipma[at:])
    old_iprp = _box_at(data, b"iprp")
    new_iprp = box(b"iprp", box(b"ipco", ipco[8:], *properties), new_ipma)
    grown = len(new_iprp) - len(old_iprp)
    meta = _box_at(data, b"meta")
    iloc = bytearray(_box_at(meta, b"iloc"))
    _move_extents(iloc, grown)
    new_meta = box(b"meta", meta[8:].replace(old_iprp, new_iprp).replace(_box_at(meta, b"iloc"), bytes(iloc)))
    return data.replace(meta, new_meta)


def _move_extents(iloc: bytearray, by: int) -> None:
    assert iloc[8] == 0  # version 0, offsets of 4 bytes: what Pillow writes
    assert iloc[12] == 0x44
    at = 16
    for _ in range(int.from_bytes(iloc[14:16], "big")):
        at += 4 + (iloc[13] >> 4)
        extents = int.from_bytes(iloc[at : at + 2], "big")
        at += 2
        for _ in range(extents):
            iloc[at : at + 4] = struct.pack(">I", int.from_bytes(iloc[at : at + 4], "big") + by)
            at += 8


def _box_at(data: bytes, name: bytes) -> bytes:
    start = data.index(name) - 4
    return data[start : start + int.from_bytes(data[start : start + 4], "big")]


def _boxes(data: bytes) -> Iterable[bytes]:
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[:size]
        data = data[size:]


def heif_container(
    *properties: bytes, brand: bytes = b"heic", item: int = 1, wide: bool = False, references: bytes = b""
) -> bytes:
    """A HEIC or AVIF file with nothing but a primary image and its properties; `wide` as for more than 127 of them."""
    count = len(properties)
    numbers = struct.pack(f">{count}H", *range(1, count + 1)) if wide else bytes(range(1, count + 1))
    table = box(b"ipma", bytes([0, 0, 0, int(wide)]), struct.pack(">IHB", 1, item, count), numbers)
    parts = (
        box(b"pitm", bytes(4), struct.pack(">H", item)),
        box(b"iprp", box(b"ipco", *properties), table),
        references,
    )
    return box(b"ftyp", brand, bytes(4), brand) + box(b"meta", bytes(4), *parts)


# BMP, JPEG 2000, icons and the rest

CALIBRATED, EMBEDDED = 0, 0x4D424544


def bmp(
    *,
    version: int = 4,
    kind: int = CALIBRATED,
    primaries: Sequence[float] = (0.0,) * 8,
    exponents: tuple[float, float, float] = (0.0, 0.0, 0.0),
    profile_data: bytes = b"",
) -> bytes:
    """The card in BMP with a header of version 4 or 5."""
    pixels = card()
    height, width = pixels.shape[:2]
    rows = b"".join(row[:, ::-1].tobytes() for row in pixels[::-1])
    size = {4: 108, 5: 124}[version]
    ends = [(x, y, 1 - x - y) for x, y in zip(primaries[2::2], primaries[3::2], strict=True)]
    points = [round(each * (1 << 30)) for end in ends for each in (end if any(primaries) else (0, 0, 0))]
    header = struct.pack("<IiiHHIIiiII16xI", size, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0, kind)
    header += struct.pack("<9i3I", *points, *(round(each * 65536) for each in exponents))
    if version == 5:
        header += struct.pack("<IIII", 4, size + len(rows), len(profile_data), 0)
    whole = header + rows + profile_data
    return b"BM" + struct.pack("<IHHI", 14 + len(whole), 0, 0, 14 + size) + whole


def jp2(colour: bytes, pixels: NDArray[np.uint8] | None = None) -> bytes:
    """The card in lossless JPEG 2000, with `colour` as the content of its `colr` box."""
    buffer = io.BytesIO()
    Image.fromarray(card() if pixels is None else pixels).save(buffer, "JPEG2000", irreversible=False)
    data = buffer.getvalue()
    header = _box_at(data, b"jp2h")
    return data.replace(header, box(b"jp2h", header[8:].replace(_box_at(header, b"colr"), box(b"colr", colour))))


def enumerated(number: int) -> bytes:
    return b"\1\0\0" + struct.pack(">I", number)


def ico(inner: bytes) -> bytes:
    """An icon that holds a PNG file."""
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 4 * SIDE, 2 * SIDE, 0, 0, 1, 32, len(inner), 22) + inner


def saved(format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(card()).save(buffer, format_, **options)
    return buffer.getvalue()


def _jpeg(**options: Any) -> bytes:
    return saved("JPEG", quality=100, subsampling=0, **options)


def _adobe_exif() -> Image.Exif:
    """What cameras write for Adobe RGB: ColorSpace 2 (not sRGB) and the interoperability index R03."""
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 2, 0xA005: {1: "R03"}}
    exif[0x013E], exif[0x013F] = (0.3127, 0.3290), ADOBE[2:]
    return exif


# What an independent reader of the standards makes of them


def to_xyz(points: Sequence[float]) -> NDArray[np.float64]:
    """(3, 3): from linear RGB of these chromaticities to XYZ."""
    white, *mixed = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(points[::2], points[1::2], strict=True))
    columns = np.stack(mixed, axis=1)
    return columns * np.linalg.solve(columns, white)


def srgb_level(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB levels, 0 to 255, for linear light."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def expected(light: NDArray[np.float64], points: Sequence[float]) -> NDArray[np.float64]:
    """sRGB levels for (n, 3) linear light of these chromaticities, whose white is D65."""
    return srgb_level(light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(points)).T)


# All of them, for a browser to show


class Picture(NamedTuple):
    media_type: str
    data: bytes


PNG_SAYS: dict[str, tuple[Chunk, ...]] = {
    "nothing": (),
    "linear": (gama(1),),
    "gamma 2": (gama(0.5),),
    "gamma of old Macs": (gama(1 / 1.8),),
    "neutral gamma": (gama(0.45455),),
    "P3 by chromaticities": (chrm(P3), gama(0.45455)),
    "sRGB by chromaticities": (chrm(SRGB), gama(0.45455)),
    "Adobe RGB": (chrm(ADOBE), gama(0.45455)),
    "ProPhoto": (chrm(PROPHOTO), gama(1 / 1.8)),
    "P3": (cicp(12, 13),),
    "P3, linear": (cicp(12, 8),),
    "BT.2020": (cicp(9, 14),),
    "BT.709": (cicp(1, 1),),
    "PQ": (cicp(9, 16),),
    "PQ of P3": (cicp(12, 16),),
    "HLG": (cicp(9, 18),),
}
"""Ways in which a PNG file says what its colours are, tried with each kind of PNG."""

PNG_RULES: dict[str, tuple[Chunk, ...]] = {
    **{f"primaries {code}": (cicp(code, 13),) for code in (*range(13), 21, 22, 23, 200)},
    **{f"transfer {code}": (cicp(1, code),) for code in range(20)},
    "cICP before iCCP": (iccp(SRGB_PROFILE), cicp(12, 13)),
    "cICP says sRGB, iCCP another": (cicp(1, 13), iccp(profile(P3, 1.8))),
    "cICP before sRGB": (srgb(), cicp(12, 13)),
    "cICP that is unspecified": (cicp(2, 2), iccp(profile(P3, 1.8))),
    "cICP of narrow range": (cicp(9, 13, 0, 0), gama(1)),
    "cICP twice": (cicp(12, 13), cicp(1, 8)),
    "cICP too long": ((b"cICP", bytes([12, 13, 0, 1, 0])),),
    "iCCP before sRGB": (iccp(profile(P3, 1.8)), srgb()),
    "iCCP before gAMA": (gama(1), chrm(P3), iccp(profile(P3, 1.8))),
    "iCCP that is none": (iccp(b"x" * 200), gama(1)),
    "sRGB before gAMA": (gama(1), chrm(P3), srgb()),
    "sRGB of no intent": (srgb(9), gama(1)),
    "sRGB too long": ((b"sRGB", b"\0\0"), gama(1)),
    "cHRM alone": (chrm(P3),),
    "cHRM of zeros": ((b"cHRM", bytes(32)), gama(1)),
    "cHRM on a line": (chrm((*D65, 0.64, 0.33, 0.64, 0.33, 0.15, 0.06)), gama(1)),
    "cHRM beyond 1": ((b"cHRM", b"\x7f\xff\xff\xff" * 8), gama(1)),
    "cHRM too short": ((b"cHRM", bytes(31)), gama(1)),
    "gAMA of zero": (gama(0),),
    "gAMA of almost zero": (gama(0.00001),),
    "gAMA as large as can be": ((b"gAMA", b"\x7f\xff\xff\xff"),),
    "gAMA twice": (gama(1), gama(0.45455)),
    "gAMA too long": ((b"gAMA", struct.pack(">II", 100_000, 0)),),
    **{f"gAMA of {each}": (gama(each),) for each in (0.431, 0.433, 0.477, 0.478)},
    "profile with P3's codes": (iccp(profile(SRGB, 1.0, cicp_codes=(12, 13))),),
    "profile with PQ's codes": (iccp(profile(SRGB, 2.2, cicp_codes=(9, 16))),),
    "profile with unknown codes": (iccp(profile(P3, 1.8, cicp_codes=(2, 2))),),
    **{f"PQ of {nits} nits": (cicp(9, 16), clli(nits)) for nits in (100, 203, 400, 2000)},
    "PQ made on 500 nits": (cicp(9, 16), mdcv(500)),
    "PQ of 300 nits made on 4000": (mdcv(4000), clli(300), cicp(9, 16)),
    "HLG of 400 nits": (cicp(9, 18), clli(400)),
}
"""Codes, rules of precedence, and chunks that are damaged or lie."""


def _png_kinds(chunks: tuple[Chunk, ...]) -> dict[str, bytes]:
    """The card in each kind of PNG."""
    rgb, rgba = card(), card(128)
    grey, grey_alpha = rgb[..., 1], rgba[..., [1, 3]]
    indices = np.arange(8, dtype=np.uint8).reshape(2, 4).repeat(SIDE, axis=0).repeat(SIDE, axis=1)
    palette = bytes(sum(COLOURS, ()))
    return {
        "RGB": png(rgb, *chunks),
        "RGBA": png(rgba, *chunks),
        "grey": png(grey, *chunks),
        "grey with alpha": png(grey_alpha, *chunks),
        "palette": png(indices, *chunks, palette=palette),
        "palette with alpha": png(indices, *chunks, palette=palette, transparency=b"\xff\x80"),
        "16-bit RGB": png(deep(rgb), *chunks),
        "16-bit RGBA": png(deep(rgba), *chunks),
        "16-bit grey": png(deep(grey), *chunks),
    }


def _out_of_place(mark: bytes) -> dict[str, bytes]:
    """A gAMA chunk that does not count."""
    whole, linear = png(card()), chunk(*gama(1))
    return {
        f"PNG, gAMA {mark.decode()}": {
            b"after the pixels": whole[:-12] + linear + whole[-12:],
            b"damaged": png(card(), gama(1)).replace(linear, linear[:-1] + b"\0"),
        }[mark]
    }


def _avif_pictures() -> dict[str, bytes]:
    exact, plain = lossless_avif(), avif()
    hidden = without_colours(plain)
    other = profile(P3, 1.8)
    pictures = {
        **{f"primaries {code}": with_codes(exact, (code, 13, 0)) for code in (*range(13), 22, 99)},
        **{f"transfer {code}": with_codes(exact, (1, code, 0)) for code in (*range(9), *range(13, 20))},
        **{f"codes {p}/{t}": with_codes(exact, (p, t, 0)) for p, t in _ISO_CODES},
        **{f"matrix {code}": avif(codes=(1, 13, code)) for code in (0, 1, 2, 4, 5, 6, 7, 8, 9, 12)},
        **{f"matrix {code} of P3": avif(codes=(12, 13, code)) for code in (1, 6, 9)},
        **{
            f"{bits} bits, {p}/{t}": with_codes(lossless_avif(bits=bits), (p, t, 0))
            for bits in (10, 12)
            for p, t in _DEEP
        },
        **{
            f"{bits} bits with alpha, {p}/{t}": with_codes(lossless_avif(bits=bits, alpha=128), (p, t, 0))
            for bits in (8, 10)
            for p, t in _DEEP
        },
        "limited range": avif(range="limited"),
        "limited range of P3": avif(codes=(12, 13, 6), full=False, range="limited"),
        "half the chroma, P3": avif(codes=(12, 13, 6), subsampling="4:2:0"),
        **{f"grey, {t}": avif("grey", codes=(1, t, 6)) for t in (8, 13, 16, 18)},
        "premultiplied": avif("rgba", alpha_premultiplied=True),
        "premultiplied, P3": avif("rgba", codes=(12, 13, 6), alpha_premultiplied=True),
        "animated, P3": with_codes(
            saved("AVIF", **_EXACT, save_all=True, append_images=[Image.new("RGB", (64, 32))]), (12, 13, 6)
        ),
        "no colr": hidden,
        "P3 after others": with_properties(hidden, colr(12, 13, 6)),
        "profile alone": with_properties(hidden, icc_colr(other)),
        "restricted profile": with_properties(hidden, icc_colr(other, kind=b"rICC")),
        "profile after nclx": with_properties(avif(codes=(9, 8, 6)), icc_colr(other)),
        "profile before nclx": with_properties(avif(codes=(9, 8, 6)), icc_colr(other), first=True),
        "profile with HLG's codes": with_properties(hidden, icc_colr(profile(SRGB, 2.2, cicp_codes=(9, 18)))),
        **{
            f"PQ of {nits} nits": with_properties(avif(codes=(9, 16, 6)), brightness(nits))
            for nits in (0, 100, 400, 2000)
        },
    }
    return {f"AVIF, {name}": data for name, data in pictures.items()}


_ISO_CODES = ((2, 8), (2, 16), (9, 2), (9, 3), (0, 8), (12, 99), (99, 8), (9, 6), (9, 14), (9, 16), (9, 18), (12, 1))
_DEEP = ((1, 13), (12, 13), (9, 1), (9, 16), (9, 18))


def pictures() -> dict[str, Picture]:
    """By name; what Chromium shows of those is what is right."""
    pngs = {f"PNG, {kind}, {name}": data for name, says in PNG_SAYS.items() for kind, data in _png_kinds(says).items()}
    pngs |= {f"PNG, {name}": png(card(), *chunks) for name, chunks in PNG_RULES.items()}
    pngs |= _out_of_place(b"after the pixels") | _out_of_place(b"damaged")
    bmps = {
        "BMP, says nothing": bmp(exponents=(1, 1, 1)),
        "BMP, P3": bmp(primaries=P3, exponents=(2.2, 2.2, 2.2)),
        "BMP, version 5, P3": bmp(version=5, primaries=P3, exponents=(2.2, 2.2, 2.2)),
        "BMP, three curves": bmp(primaries=SRGB, exponents=(1.0, 2.2, 1.8)),
        "BMP, sRGB": bmp(kind=int.from_bytes(b"sRGB", "big"), primaries=P3, exponents=(1, 1, 1)),
        "BMP, Windows' own": bmp(kind=int.from_bytes(b"Win ", "big")),
        "BMP, profile": bmp(version=5, kind=EMBEDDED, profile_data=profile(P3, 1.8)),
        "BMP, primaries on a line": bmp(primaries=(*D65, 0.6, 0.3, 0.6, 0.3, 0.2, 0.1), exponents=(2, 2, 2)),
    }
    others = {
        "JPEG, EXIF of Adobe RGB": Picture("image/jpeg", _jpeg(exif=_adobe_exif())),
        "JPEG, profile": Picture("image/jpeg", _jpeg(icc_profile=profile(P3, 1.8))),
        "JPEG, profile with HLG's codes": Picture(
            "image/jpeg", _jpeg(icc_profile=profile(SRGB, 2.2, cicp_codes=(9, 18)))
        ),
        "WebP, profile": Picture("image/webp", saved("WEBP", lossless=True, icc_profile=profile(P3, 1.8))),
        "WebP, profile with P3's codes": Picture(
            "image/webp", saved("WEBP", lossless=True, icc_profile=profile(SRGB, 1.0, cicp_codes=(12, 13)))
        ),
        "GIF": Picture("image/gif", saved("GIF")),
    }
    return (
        {name: Picture("image/png", data) for name, data in pngs.items()}
        | {name: Picture("image/avif", data) for name, data in _avif_pictures().items()}
        | {name: Picture("image/bmp", data) for name, data in bmps.items()}
        | others
    )
