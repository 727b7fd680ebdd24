"""build_url: canonical, and the inverse of parse_url."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from url_strategies import addresses, query_texts, specs

from pellucid.errors import SpecError
from pellucid.spec import (
    TRANSPARENT,
    Background,
    Enlarge,
    Fit,
    Geometry,
    OriginRef,
    Output,
    OutputFormat,
    Removal,
    Spec,
)
from pellucid.url.build import build_url
from pellucid.url.parse import parse_url

_FACE = OriginRef(host="samples.scaleflex.com", path="/face.png")


def _parse(url: str) -> Spec:
    path, _, query = url.partition("?")
    parsed = parse_url(path, query)
    assert parsed.ignored == ()
    return parsed.spec


@settings(deadline=None)
@given(specs)
def test_parse_gives_back_what_was_built(spec: Spec) -> None:
    url = build_url(spec)
    assert url.startswith("/")
    assert url.isascii()
    assert _parse(url) == spec


@settings(deadline=None)
@given(addresses, query_texts, st.booleans())
def test_whatever_was_parsed_can_be_built(raw_path: str, query: str, url_encoded: bool) -> None:
    try:
        spec = parse_url(f"/{raw_path}", f"{query}&ci_url_encoded={url_encoded:d}").spec
    except SpecError:
        return
    assert _parse(build_url(spec)) == spec


@settings(deadline=None)
@given(st.data())
def test_urls_are_equal_exactly_when_specs_are(data: st.DataObject) -> None:
    one, other = data.draw(specs), data.draw(specs)
    # Parts of the other one: neighbours that differ in one thing, or in nothing.
    near = replace(one, **{part: getattr(other, part) for part in data.draw(st.sets(st.sampled_from(_PARTS)))})
    assert (build_url(one) == build_url(near)) is (one == near)


_PARTS = ("origin", "removal", "geometry", "background", "output")


@pytest.mark.parametrize(
    ("spec", "url"),
    [
        (Spec(origin=_FACE), "/samples.scaleflex.com/face.png"),
        (
            Spec(
                origin=_FACE,
                removal=Removal(remove=True),
                geometry=Geometry(width=400, height=562.5, fit=Fit.BOUND, enlarge=Enlarge.NEVER),
                background=Background(colour=TRANSPARENT),
                output=Output(formats=(OutputFormat.WEBP,), quality=80),
            ),
            "/samples.scaleflex.com/face.png?w=400&h=562.5&func=bound&org_if_sml=1&bg_remove=1&bg_color=transparent"
            "&force_format=webp&q=80",
        ),
        (Spec(origin=_FACE, geometry=Geometry(width=1e-7)), "/samples.scaleflex.com/face.png?w=0.0000001"),
        (Spec(origin=_FACE, geometry=Geometry(width=100000.0)), "/samples.scaleflex.com/face.png?w=100000"),
        (
            Spec(
                origin=OriginRef(scheme="https", host="h.example", path="/a%20b", query="w=22"),
                geometry=Geometry(width=1),
            ),
            "/https%3A%2F%2Fh.example%2Fa%2520b%3Fw%3D22?w=1&ci_url_encoded=1",
        ),
        (Spec(origin=OriginRef(host="[::1]:81", path="/a")), "/%5B%3A%3A1%5D%3A81%2Fa?ci_url_encoded=1"),
        (
            Spec(origin=_FACE, removal=Removal(remove=True, notify="https://h.example:81/a?b=1&c=%20d")),
            "/samples.scaleflex.com/face.png?bg_remove=1&bg_notify=https:%2F%2Fh.example:81%2Fa%3Fb%3D1%26c%3D%2520d",
        ),
        (Spec(origin=OriginRef(alias="_a_", path="/b%3Fc")), "/_a_/b%3Fc"),
    ],
)
def test_the_canonical_spelling(spec: Spec, url: str) -> None:
    assert build_url(spec) == url
    assert _parse(url) == spec
