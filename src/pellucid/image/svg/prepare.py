"""Pure: an SVG file's text as it is handed to librsvg."""

from __future__ import annotations

from pellucid.image.svg.document import unpack
from pellucid.image.svg.root import Root, Size, natural_size, read_root, view_box
from pellucid.image.svg.units import with_pixels
from pellucid.image.svg.variables import resolve_variables


def sized(data: bytes) -> bytes:
    """The text of the SVG file `data` with its natural size written into its root.

    librsvg would take a missing size from `viewBox`, or from what is drawn, cut off there. CSS for the root is
    overruled, as browsers do for an `<img>`. Raises ImageError, ImageLimitError.
    """
    return _with_size(unpack(data))


def drawable(data: bytes) -> bytes:
    """As `sized`, with CSS variables put in, and lengths in pixels."""
    return _with_size(with_pixels(resolve_variables(unpack(data))))


def _with_size(text: bytes) -> bytes:
    root = read_root(text)
    closing = 2 if text[root.end - 2 : root.end] == b"/>" else 1
    return text[: root.after_name] + _attributes(text, root) + text[root.end - closing :]


def _attributes(text: bytes, root: Root) -> bytes:
    """Those of the root, with its size among them."""
    size = natural_size(root)
    replaced = {"width", "height", "style"}
    if size.scale != 1 and view_box(root) is None:
        replaced.add("viewBox")
    attributes = [text[start:end] for name, (_, start, end) in root.attributes.items() if name not in replaced]
    if "viewBox" in replaced:
        attributes.append(f'viewBox="0 0 {size.width / size.scale:.9g} {size.height / size.scale:.9g}"'.encode())
    style = root.value("style").replace('"', "&quot;").rstrip().rstrip(";")
    attributes.append(_size_attributes(size, style).encode("latin-1"))
    return b"".join(b" " + each for each in attributes)


def _size_attributes(size: Size, style: str) -> str:
    width, height = f"{size.width:.9g}px", f"{size.height:.9g}px"
    own = f"width:{width} !important;height:{height} !important"
    return f'width="{width}" height="{height}" style="{style + ";" if style else ""}{own}"'
