"""PURE: the parameters of Cloudimage's URL API that are not in the table of `url.params`: what happens to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absent:
    """Parameters that this server does not read. `doc` is what they do at Cloudimage."""

    names: tuple[str, ...]
    doc: str


REFUSED = (
    Absent(("ci_sign",), "The signature of a URL."),
    Absent(("ci_seal", "ci_eqs"), "Parameters that are sealed: nobody can change or leave them out."),
)
"""What protects a URL: ignored, a signed URL would be an unsigned one, and nobody would notice."""

REFUSED_GRAMMAR = "signatures and seals are not checked by this server yet, so it takes no URL that has one"

NOT_YET = (
    Absent(("f",), "Several filters in one parameter."),
    Absent(("bright", "contrast", "gray", "grey"), "Brightness, contrast, greyscale."),
    Absent(("blur", "pixelate", "pixellate", "blur_faces"), "Blur, mosaic."),
    Absent(
        (
            *("wat", "wat_url", "wat_text", "wat_gravity", "wat_pos", "wat_pad", "wat_scale", "wat_opacity"),
            *("wat_color", "wat_colour", "wat_font", "wat_fontsize"),
        ),
        "Watermarks.",
    ),
    Absent(("p",), "Presets: parameters that are stored under a name."),
    Absent(("ci_cache",), "How long caches keep the answer."),
    Absent(("ci_info",), "Says how the picture was made."),
)
"""What changes the picture, or how it is kept, at Cloudimage and nothing here."""
