"""Images together with what their files say of their colours: the one place where it becomes sRGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.colour import bmp, icc, isobmff, jp2, png
from pellucid.image.colour.convert import to_srgb
from pellucid.image.colour.space import ColourSpace
from pellucid.image.colour.transform import Transform, transform_for
from pellucid.image.vips import VipsImage

Said = ColourSpace | bytes | None
"""What a file says: a colour space, an ICC profile, or nothing, which means sRGB."""

_READERS: dict[ImageFormat, Callable[[bytes, bytes | None], Said]] = {
    ImageFormat.PNG: png.read,
    ImageFormat.BMP: bmp.read,
    ImageFormat.JP2: jp2.read,
}
"""What reads a file's own words, given the profile that its decoder found. AVIF and HEIC are read by `isobmff`, the
other formats have profiles only: browsers do not heed what EXIF says of colours, libvips does not heed TIFF's tags.
"""

_ISO_FORMATS = (ImageFormat.AVIF, ImageFormat.HEIC)

_CONVERTED = frozenset({"srgb", "rgb16", "b-w", "grey16"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedImage:
    """An image as it is stored. It becomes sRGB by `transform`; without one, by the ICC profile that it carries, if it
    carries one.
    """

    image: VipsImage
    transform: Transform | None = None

    def to_srgb_size(self, *, width: int, height: int) -> VipsImage:
        """As `vips.to_srgb_size`."""
        if self.transform is None:
            return vips.to_srgb_size(self.image, width=width, height=height)
        # All the bits there are until the colours are right: 8 of PQ, or of light itself, would show steps.
        stored = vips.to_size(self.image, width=width, height=height)
        return vips.upright(to_srgb(stored, self.transform))


def describe(image: VipsImage, data: bytes, format_: ImageFormat) -> DescribedImage:
    """`image`, opened from the file `data`, with what that says of its colours.

    Raises `ImageError` when the decoder takes samples for others than they are.
    """
    embedded = vips.icc_of(image)
    if format_ in _ISO_FORMATS:
        primary = isobmff.read(data)
        if primary.nclx is not None and primary.nclx.is_misread:
            raise ImageError(
                f"the {format_.upper()} picture stores its colours in a way that is not supported (matrix coefficients "
                f"{primary.nclx.matrix} of H.273)"
            )
        if format_ is ImageFormat.AVIF and primary.is_premultiplied and image.hasalpha():
            image = vips.unpremultiplied(image)  # libvips passes them on as they are
        said = isobmff.colours_of(primary) or embedded
    else:
        said = _READERS[format_](data, embedded) if format_ in _READERS else embedded
    if isinstance(said, bytes):
        said = icc.described_by(said) or said
    if not isinstance(said, ColourSpace):
        return DescribedImage(image=_with_profile(image, said))
    if not _is_convertible(image):
        return DescribedImage(image=image)
    return DescribedImage(image=_with_profile(image, None), transform=_transform_to_srgb(said))


def needs_all_bits(data: bytes, format_: ImageFormat) -> bool:
    """Whether an AVIF or HEIC file is HDR, so that 8 bits a channel would show steps."""
    said = isobmff.colours_of(isobmff.read(data)) if format_ in _ISO_FORMATS else None
    return isinstance(said, ColourSpace) and said.is_hdr


def profile_needs_all_bits(profile: bytes) -> bool:
    """Whether pixels with that ICC profile are to be decoded with all their bits: it names a space that is not sRGB."""
    said = icc.described_by(profile)
    return said is not None and not said.is_srgb


def _transform_to_srgb(space: ColourSpace) -> Transform | None:
    try:
        return None if space.is_srgb else transform_for(space)
    except ValueError:
        return None  # primaries of no colour space: as if nothing were said


def _with_profile(image: VipsImage, profile: bytes | None) -> VipsImage:
    return image if profile == vips.icc_of(image) else vips.attach_icc(image, profile)


def _is_convertible(image: VipsImage) -> bool:
    return image.format in ("uchar", "ushort") and image.interpretation in _CONVERTED and image.bands <= 4
