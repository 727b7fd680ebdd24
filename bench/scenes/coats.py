"""Hair and fur of the synthetic scenes: most of their mixed pixels lie in strands, far from anything opaque."""

from __future__ import annotations

import numpy as np

from scenes.layers import Layer, painted
from scenes.shapes import Blob, Frame, box, coverage, random_blob
from scenes.strands import Strands, draw
from scenes.textures import FloatArray, Size, hsv, palette, ramp, surface


def hair(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """A head and shoulders with loose hair: strands of half a pixel to two pixels, single ones standing off."""
    frame = Frame(size)
    head = random_blob(rng, (frame.right / 2, 0.5), 0.17, wobble=0.02, stretch=1.25)
    skin = surface(rng, size, _skin(rng), pattern="marble")
    shoulders = box(frame, (frame.right / 2, 1.12), (0.36, 0.32), corner=0.16)
    neck = box(frame, (frame.right / 2, 0.74), (0.07, 0.12), corner=0.05)
    body = painted(surface(rng, size, palette(rng, light=not light)), coverage(shoulders))
    face = painted(skin, coverage(np.minimum(head.distance(frame), neck)))
    colours = _hair_colours(rng, light=light)
    back = draw(_locks(rng, head, colours * np.float32(0.8), count=2600, tidy=1.0), size)
    front = draw(_locks(rng, head, colours, count=700, tidy=1.6), size)
    return _fringe(rng, head, colours, size).over(front.over(face.over(body.over(back))))


def fur(rng: np.random.Generator, size: Size, *, light: bool) -> Layer:
    """A furry body: a dense coat whose rim ends in thousands of short tapering hairs."""
    frame = Frame(size)
    body = random_blob(rng, (frame.right / 2, 0.52), 0.29, wobble=0.09, stretch=rng.uniform(0.85, 1.1))
    colours = palette(rng, light=light)
    coat = surface(rng, size, colours)
    count = 15_000
    angle = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    edge, outwards = body.edge(angle)
    depth = rng.uniform(0, 1, count).astype(np.float32) ** 2
    depth[: count // 3] = rng.uniform(0, 0.06, count // 3)
    order = np.argsort(-depth)[::-1]  # the rim lowest, as a coat lies
    angle, edge, outwards, depth = angle[order], edge[order], outwards[order], depth[order]
    root = edge + (np.array(body.centre, np.float32) - edge) * depth[:, None]
    lean = np.float32(rng.uniform(-0.8, 0.8)) + np.float32(0.5) * np.sin(3 * angle + np.float32(rng.uniform(0, 6)))
    lean = lean + rng.normal(0, 0.25, count).astype(np.float32)
    aside = np.stack((-outwards[:, 1], outwards[:, 0]), axis=-1)
    way = outwards + aside * lean[:, None]
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    length = rng.uniform(0.025, 0.075, count).astype(np.float32)[:, None]
    bend = aside * rng.normal(0, 0.25, (count, 1)).astype(np.float32) + np.array((0, 0.35), np.float32)
    curves = np.stack(
        (
            root,
            root + way * length * np.float32(0.35),
            root + (way * np.float32(0.7) + bend * np.float32(0.15)) * length,
            root + (way + bend * np.float32(0.45)) * length,
        ),
        axis=1,
    )
    column = np.clip(root[:, 0] * size[1], 0, size[0] - 1).astype(np.intp)
    row = np.clip(root[:, 1] * size[1], 0, size[1] - 1).astype(np.intp)
    base = coat[row, column] * rng.uniform(0.7, 1.2, (count, 1)).astype(np.float32)
    strands = Strands(
        curves=curves.astype(np.float32),
        widths=rng.uniform(0.0008, 0.0024, count).astype(np.float32),
        colours=np.clip(np.stack((base * np.float32(0.75), base * np.float32(1.1)), axis=1), 0, 255),
        shine=np.stack((rng.uniform(0.3, 0.9, count), rng.uniform(0, 25, count)), axis=1).astype(np.float32),
    )
    inner = coverage(body.distance(frame) + np.float32(0.012))
    return draw(strands, size).over(painted(coat, inner))


def _skin(rng: np.random.Generator) -> FloatArray:
    base = hsv(rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.95))
    return np.stack((base * np.float32(0.8), base, np.minimum(base * np.float32(1.1), 255))).astype(np.float32)


def _hair_colours(rng: np.random.Generator, *, light: bool) -> FloatArray:
    """Blond, grey or white; black, brown or red; one in six dyed."""
    if rng.uniform() < 1 / 6:
        return palette(rng, light=light)
    hue, saturation = rng.uniform(0.03, 0.13), rng.uniform(0.05, 0.55) if light else rng.uniform(0.2, 0.75)
    top = rng.uniform(0.85, 1.0) if light else rng.uniform(0.25, 0.6)
    return np.stack(
        [
            hsv(hue, saturation + 0.1, top * 0.55),
            hsv(hue, saturation, top * 0.8),
            hsv(hue + 0.02, saturation * 0.7, top),
        ]
    )


def _locks(rng: np.random.Generator, head: Blob, colours: FloatArray, *, count: int, tidy: float) -> Strands:
    """Long hair from the crown down both sides, in wavy locks. `tidy` > 1 keeps it closer to the head."""
    # Directions from the right temple over the crown to the left one.
    angle = rng.uniform(-np.pi - 0.35, 0.35, count).astype(np.float32)
    root, outwards = head.edge(angle)
    root = root - outwards * rng.uniform(0, 0.03, (count, 1)).astype(np.float32)
    cos = np.cos(angle)[:, None]
    side = (np.sign(cos) * np.float32(0.55) + cos * np.float32(0.45)) * np.array((1, 0), np.float32)
    lock = np.sin(angle[:, None] * np.array((17, 29), np.float32) + rng.uniform(0, 6, 2).astype(np.float32))
    loose = (rng.gamma(1.0, 0.045, (count, 1)) / tidy).astype(np.float32)
    length = rng.uniform(0.2, 0.5, (count, 1)).astype(np.float32) / np.float32(tidy**0.5)
    jitter = rng.normal(0, 0.02, (2, count, 2)).astype(np.float32)
    down = np.array((0, 1), np.float32)
    first = root + outwards * (np.float32(0.03) + loose)
    second = root + side * (np.float32(0.1) + loose) + down * length * np.float32(0.5) + lock * np.float32(0.025)
    tip = root + side * (np.float32(0.05) + np.float32(1.3) * loose) + down * length + lock * np.float32(0.05)
    curves = np.stack((root, first + jitter[0], second + jitter[1], tip + jitter[0] * 2), axis=1)
    return _strands(rng, curves, colours)


def _fringe(rng: np.random.Generator, head: Blob, colours: FloatArray, size: Size) -> Layer:
    """Hair on the crown that falls a little onto the forehead, and some that stands off."""
    count = 900
    angle = rng.uniform(-np.pi * 0.95, -np.pi * 0.05, count).astype(np.float32)
    root, outwards = head.edge(angle)
    stray = (rng.uniform(0, 1, (count, 1)) < 0.12).astype(np.float32)
    inwards = -outwards * rng.uniform(0.02, 0.1, (count, 1)).astype(np.float32)
    aside = np.stack((-outwards[:, 1], outwards[:, 0]), axis=-1)
    aside = aside * rng.normal(0, 0.06, (count, 1)).astype(np.float32)
    away = outwards * rng.gamma(1.5, 0.05, (count, 1)).astype(np.float32)
    end = inwards * (1 - stray) + (away + aside) * stray
    lift = outwards * rng.uniform(0.005, 0.03, (count, 1)).astype(np.float32)
    curves = np.stack((root, root + lift, root + end * np.float32(0.6) + lift + aside, root + end + aside), axis=1)
    return draw(_strands(rng, curves, colours), size)


def _strands(rng: np.random.Generator, curves: FloatArray, colours: FloatArray) -> Strands:
    count = len(curves)
    # Later strands lie above: the lower ones are in their shade.
    shade = np.linspace(0.55, 1.0, count, dtype=np.float32)[:, None] * rng.uniform(0.85, 1.15, (count, 1))
    base = ramp(colours, rng.normal(0.5, 0.25, count).astype(np.float32)) * shade.astype(np.float32)
    ends = np.clip(np.stack((base * np.float32(0.8), base * np.float32(1.15)), axis=1), 0, 255)
    shine = np.stack((rng.normal(0.3, 0.08, count), rng.uniform(0, 55, count)), axis=1)
    return Strands(
        curves=curves.astype(np.float32),
        widths=rng.uniform(0.0006, 0.0018, count).astype(np.float32),
        colours=ends.astype(np.float32),
        shine=shine.astype(np.float32),
    )
