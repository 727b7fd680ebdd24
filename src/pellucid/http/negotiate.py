"""Pure: the `Accept` header as the set of those image formats that not everybody shows."""

from __future__ import annotations

from functools import lru_cache

from pellucid.formats import FORMATS, NEGOTIATED, ImageFormat

_BY_MEDIA_TYPE = {FORMATS[name].media_type: name for name in NEGOTIATED}


@lru_cache(maxsize=1024)
def accepted_formats(accept: str) -> frozenset[ImageFormat]:
    """What of `NEGOTIATED` the header `accept` (RFC 9110, section 12.5.1) names with a weight above 0: four variants at
    most, however browsers spell it.

    Wildcards name nothing: browsers that cannot show WebP send `*/*` as well, so only an explicit `image/webp` counts.
    """
    named: set[ImageFormat] = set()
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        found = _BY_MEDIA_TYPE.get(media_range)
        if found is not None and not any(_is_zero_weight(parameter) for parameter in parameters):
            named.add(found)
    return frozenset(named)


def _is_zero_weight(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("", "0.", ".")
