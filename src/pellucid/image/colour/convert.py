"""Colour transforms of images. Written in libvips' operations, which compute pixels on demand: a profile made for the
space and lcms would do for 8 bits, but its transforms of 16 bits are up to 20 levels off where colours leave sRGB's
gamut, and tone mapping, which mixes the channels, up to 40. At 12 megapixels 145 ms (lcms 116), HDR 340.
"""

from __future__ import annotations

from pellucid.image import vips
from pellucid.image.colour.tone import BT2020_LUMINANCE, ToneMapping
from pellucid.image.colour.transform import Transform, srgb_levels
from pellucid.image.vips import VipsImage


def to_srgb(image: VipsImage, transform: Transform) -> VipsImage:
    """`image` (uchar or ushort, 1 to 4 bands, straight alpha) as uchar sRGB of 3 or 4 bands."""
    has_alpha = image.bands in (2, 4)
    colours = image.extract_band(0, n=image.bands - has_alpha)
    if colours.bands == 1:
        colours = colours.bandjoin([colours, colours])
    is_deep = image.format == "ushort"
    light = colours.maplut(vips.lookup_table(transform.light if is_deep else transform.light[::257]))
    if transform.tones is not None and transform.to_mixing is not None:
        light = _tone_mapped(light.recomb(vips.matrix(transform.to_mixing)), transform.tones)
    levels = light.recomb(vips.matrix(65535 * transform.to_srgb)).linear(1, 0.5).cast("ushort")
    shown = levels.maplut(vips.lookup_table(srgb_levels())).copy(interpretation="srgb")
    if not has_alpha:
        return shown
    alpha = image[image.bands - 1]
    return shown.bandjoin(alpha.linear(1 / 257, 0.5).cast("uchar") if is_deep else alpha)


def _tone_mapped(light: VipsImage, tones: ToneMapping) -> VipsImage:
    light = light.clamp(min=0, max=1)
    if tones.ootf_exponent:
        light = light * light.recomb(vips.matrix([BT2020_LUMINANCE])) ** tones.ootf_exponent
    brightest = light[0].bandrank([light[1], light[2]], index=2)
    factors = brightest.linear(65535, 0.5).cast("ushort").maplut(vips.lookup_table(tones.factors))
    return light * factors.linear(tones.brightest, 0)
