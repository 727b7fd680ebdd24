"""The picture of a TIFF file by way of libvips, which is told which directory to read and whose samples are put
right.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.image import vips
from pellucid.image.tiff import samples
from pellucid.image.tiff.directories import Directory, Tag, TiffFile
from pellucid.image.tiff.samples import Numbers, Photometric, Reading, Samples
from pellucid.image.vips import FailOn, VipsImage


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffPicture:
    """A picture whose directory was read. `file` is what libvips is given, perhaps a changed copy of the file."""

    file: bytes
    directory: Directory
    samples: Samples
    is_copy: bool

    @property
    def has_alpha(self) -> bool:
        """Whether it comes with an alpha."""
        return self.samples.alpha is not None

    @property
    def copied_bytes(self) -> int:
        """What copies of the file take besides the one that every loader makes: a changed one, and one to find the
        range in.
        """
        return len(self.file) * (self.is_copy + (self.samples.reading is Reading.RANGE))

    def load(self, *, fail_on: FailOn) -> VipsImage:
        """As libvips reads it, nothing decoded yet. Raises VipsError."""
        if fail_on == "truncated":
            # At that, libvips leaves black what is missing; missing tiles it minds only as warnings.
            fail_on = "warning" if self.samples.has_tiles else "error"
        return vips.load("tiffload_buffer", self.file, fail_on=fail_on)

    def convert(self, image: VipsImage, *, fail_on: FailOn) -> VipsImage:
        """`image`, as `load` gave it, in colours that libvips knows: 8 or 16 bits, or Lab, with straight alpha last or
        none. Floats and the like are decoded once or twice more to find their range, unless the file names it.

        Raises VipsError, and ImageError for samples whose range cannot be told.
        """
        image = self._read(_select_channels(image, self.samples), fail_on=fail_on)
        if not self.samples.premultiplied:
            return image
        straight = image.unpremultiply(max_alpha=255 if image.format == "uchar" else 65_535)
        return straight.linear(1, 0.5).cast(image.format).copy(interpretation=image.interpretation)

    def _read(self, image: VipsImage, *, fail_on: FailOn) -> VipsImage:
        described = self.samples
        match described.reading:
            case Reading.AS_IT_IS:
                deep_cmyk = described.photometric is Photometric.SEPARATED and described.bits == 16
                # libvips takes the alpha beside CMYK for one of 8 bits.
                return vips.to_8_bits(image) if deep_cmyk and image.bands == 5 else image
            case Reading.RANGE:
                return self._scale(image, fail_on=fail_on)
            case Reading.YCBCR:
                matrix = samples.ycbcr_matrix(self.directory)
                image = image.linear(matrix.scales, matrix.offsets).recomb(vips.matrix(matrix.rows))
                return image.linear(1, 0.5).cast("uchar").copy(interpretation="srgb")
            case Reading.YCBCR_CONVERTED:
                return image
            case Reading.LAB_OF_8_BITS | Reading.ICC_LAB:
                return _to_lab(image, described)

    def _scale(self, image: VipsImage, *, fail_on: FailOn) -> VipsImage:
        black, white = samples.named_range(self.directory) or self._find_range(fail_on=fail_on)
        if self.samples.photometric is Photometric.WHITE_IS_ZERO:
            black, white = white, black
        return vips.to_16_bits(image, black=black, white=white, colours=self.samples.colours)

    def _find_range(self, *, fail_on: FailOn) -> tuple[float, float]:
        """Raises VipsError, ImageError."""
        least, greatest = vips.measure_range(self._load_colours(fail_on=fail_on))
        share = 0.0
        if self.samples.numbers is Numbers.FLOAT and greatest > 1:
            share = vips.measure_share(self._load_colours(fail_on=fail_on), above=1, of_those_above=0)
        return samples.find_range(self.samples, least=least, greatest=greatest, share_above_1=share)

    def _load_colours(self, *, fail_on: FailOn) -> VipsImage:
        return self.load(fail_on=fail_on).extract_band(0, n=self.samples.colours)


def open_picture(data: bytes, page: int = 1) -> TiffPicture:
    """The picture in `data`. Raises ImageError where there is none, UnsupportedFormatError for one that cannot be
    shown right.
    """
    file = TiffFile(data)
    directory = file.find_picture(page)
    described = samples.describe(directory)
    changes: dict[Tag, int] = {}
    if described.premultiplied:
        # Divided here, where alpha's range is known, and rounded.
        changes[Tag.EXTRA_SAMPLES] = 2
    if described.reading is Reading.RANGE and described.photometric is Photometric.WHITE_IS_ZERO:
        # Turned round here, for the same reason.
        changes[Tag.PHOTOMETRIC] = Photometric.BLACK_IS_ZERO
    elif described.reading is Reading.LAB_OF_8_BITS:
        # libvips knows another Lab of 8 bits, and fails.
        changes[Tag.PHOTOMETRIC] = Photometric.RGB
    shown = file.showing(directory, changes)
    return TiffPicture(file=shown, directory=directory, samples=described, is_copy=shown is not data)


def _select_channels(image: VipsImage, described: Samples) -> VipsImage:
    """The colours and, last, the alpha; channels of other kinds are dropped."""
    alpha, colours = described.alpha, described.colours
    if described.photometric is Photometric.PALETTE or image.bands == colours + (alpha is not None):
        return image
    selected = image.extract_band(0, n=colours)
    return selected if alpha is None else selected.bandjoin(image.extract_band(alpha, n=1))


def _to_lab(image: VipsImage, described: Samples) -> VipsImage:
    """From levels to L* of 0 to 100, a* and b* about 0; an alpha to 0 to 255."""
    deep = described.bits == 16
    scales, offsets = [100 / (65_280 if deep else 255)] + [1 / 256 if deep else 1.0] * 2, [0.0, -128.0, -128.0]
    if described.reading is Reading.LAB_OF_8_BITS:
        # Two's complement becomes levels from -128 on.
        image = image.linear(1, [0, 128, 128] + [0] * (image.bands - 3)).remainder_const([256])
    if image.bands == 4:
        scales, offsets = [*scales, 1 / 257 if deep else 1.0], [*offsets, 0.0]
    return image.linear(scales, offsets).copy(interpretation="lab")
