"""parse_url: the spellings of real clients, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from url_strategies import addresses, query_texts

from pellucid.errors import BadValueError, SpecError
from pellucid.spec import (
    Background,
    Colour,
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
from pellucid.url.parse import ParsedUrl, parse_url

_FACE = OriginRef(host="samples.scaleflex.com", path="/face.png")


def _parse(url: str) -> ParsedUrl:
    path, _, query = url.partition("?")
    return parse_url(path, query)


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("/samples.scaleflex.com/face.png?w=400", None),
        ("/v7/samples.scaleflex.com/face.png?w=400", None),
        ("/https://samples.scaleflex.com/face.png?w=400", "https"),
        ("/v7/https://samples.scaleflex.com/face.png?width=400", "https"),
        ("/https%3A%2F%2Fsamples.scaleflex.com%2Fface.png?w=400&ci_url_encoded=1", "https"),
        ("/v7/https%3A%2F%2Fsamples.scaleflex.com%2Fface.png?ci_url_encoded=1&w=400", "https"),
        ("/https%3a%2f%2fsamples.scaleflex.com%2fface.png?w=400", "https"),  # the flag forgotten
        ("/https%3A//samples.scaleflex.com/face.png?w=400&ci_url_encoded=1", "https"),  # Python's quote()
        ("/samples.scaleflex.com%2Fface.png?w=400&ci_url_encoded=1", None),  # unpic: encoded without scheme
        ("/https:/samples.scaleflex.com/face.png?w=400", "https"),  # nuxt: joined, slashes collapsed
        ("//v7//samples.scaleflex.com/face.png?w=400", None),
        ("/http://samples.scaleflex.com:80/face.png?w=400.0", "http"),
        ("/HTTPS://Samples.Scaleflex.COM.:443/./x/%2e%2E/f%61ce.png?w=400", "https"),
        (
            "/https://samples.scaleflex.com/face.png?w=400&ci_url_encoded=1",
            "https",
        ),  # the editor: flag without encoding
        ("/samples.scaleflex.com/face.png?w=400&ci_url_encoded=0", None),
    ],
)
def test_equivalent_spellings_give_one_spec(url: str, scheme: str | None) -> None:
    origin = OriginRef(scheme=scheme, host=_FACE.host, path=_FACE.path)
    assert _parse(url) == ParsedUrl(spec=Spec(origin=origin, geometry=Geometry(width=400)), ignored=())


def test_every_parameter_reaches_its_field() -> None:
    url = (
        "/samples.scaleflex.com/face.png?w=562.5&h=266.6667&func=bound&org_if_sml=1&bg_remove=1&bg_color=456"
        "&force_format=jpg&q=85"
    )
    assert _parse(url).spec == Spec(
        origin=_FACE,
        removal=Removal(remove=True),
        geometry=Geometry(
            width=562.5,
            height=266.6667,
            fit=Fit.BOUND,
            enlarge=Enlarge.NEVER,
        ),
        background=Background(colour=Colour(red=0x44, green=0x55, blue=0x66)),
        output=Output(formats=(OutputFormat.JPEG,), quality=85),
    )


@pytest.mark.parametrize(
    ("query", "width", "ignored"),
    [
        ("", None, ()),
        ("?&w=1", 1, ()),
        ("&w=1&", 1, ()),
        ("&&&w=1&&", 1, ()),
        ("%77=%31", 1, ()),  # names and values percent-encoded
        ("w%69dth=1", 1, ()),
        ("w=1&width=2", 2, ()),
        ("width=2&w=1", 1, ()),
        ("w=zero&w=1", 1, ()),  # only the last one counts, so only it is read
        ("a+b=1&a%20b=2&%C3%A9=3", None, ("a b", "é")),
        ("é=3", None, ("é",)),
        ("Ã©=3", None, ("é",)),  # the same bytes, as a server hands them over
        ("%FF=1", None, ("\ufffd",)),
        ("=1&w=1", 1, ()),
        ("W=1", None, ("W",)),
        ("wat=1&f=bright%3A10%2Ccontrast%3A20", None, ("wat", "f")),
    ],
)
def test_query_quirks(query: str, width: float | None, ignored: tuple[str, ...]) -> None:
    assert parse_url("/samples.scaleflex.com/face.png", query) == ParsedUrl(
        spec=Spec(origin=_FACE, geometry=Geometry(width=width)), ignored=ignored
    )


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("v=3", "3"),
        ("vh=xx", "xx"),
        ("version=16.04.2020", "16.04.2020"),
        ("v2", "v2"),
        ("v2=", "v2"),
        ("vh=xx&w=1&version=16.04.2020&vh=yy", "xx,16.04.2020,yy"),  # whichever is changed, the URL is another one
        ("v", "v"),
        ("v=", "v"),
        ("", ""),
        ("version=" + "x" * 65, "e7d347aafb04b4783db0f88621284c94"),
    ],
)
def test_cache_busters(query: str, version: str) -> None:
    parsed = parse_url("/samples.scaleflex.com/face.png", query)
    assert parsed.ignored == ()
    assert parsed.spec.version == version
    assert _parse(build_url(parsed.spec)) == parsed


@pytest.mark.parametrize("query", ["v2=3", "vx", "version2=1"])
def test_what_only_looks_like_a_cache_buster_is_ignored_as_before(query: str) -> None:
    parsed = parse_url("/samples.scaleflex.com/face.png", query)
    assert parsed.ignored == (query.partition("=")[0],)
    assert not parsed.spec.version


@pytest.mark.parametrize(
    ("url", "origin", "enlarge", "formats"),
    [
        (
            "/v7/_bucket-alias_/5f1c?org_if_sml=1&force_format=original",
            OriginRef(alias="_bucket-alias_", path="/5f1c"),
            Enlarge.NEVER,
            (OutputFormat.ORIGINAL,),
        ),
        (
            "/v7/https://h.example/a.jpg?&org_if_sml=11716",
            OriginRef(scheme="https", host="h.example", path="/a.jpg"),
            Enlarge.NEVER,
            (),
        ),
        (
            "/h.example/a.jpg?org_if_sml=0&force_format=webp",
            OriginRef(host="h.example", path="/a.jpg"),
            Enlarge.ALLOWED,
            (OutputFormat.WEBP,),
        ),
    ],
)
def test_urls_of_the_wild(url: str, origin: OriginRef, enlarge: Enlarge, formats: tuple[OutputFormat, ...]) -> None:
    assert _parse(url).spec == Spec(origin=origin, geometry=Geometry(enlarge=enlarge), output=Output(formats=formats))


@pytest.mark.parametrize(
    ("query", "parameter", "value"),
    [
        ("w=", "w", ""),
        ("w", "w", ""),
        ("w=0", "w", "0"),
        ("w=0.0", "w", "0.0"),
        ("width=-1", "width", "-1"),
        ("h=1000000", "h", "1000000"),
        ("w=1e3", "w", "1e3"),
        ("w=5.", "w", "5."),
        ("w=5.", "w", "5."),
        ("w=50%25", "w", "50%"),
        ("w=+400", "w", " 400"),
        ("w=400%0A", "w", "400\n"),
        ("w=%EF%BC%91", "w", "１"),
        ("w=nan", "w", "nan"),
        ("w=1_0", "w", "1_0"),
        ("w=1&width=", "width", ""),
        ("func=", "func", ""),
        ("func=CROP", "func", "CROP"),
        ("org_if_sml=yes", "org_if_sml", "yes"),
        ("bg_remove=true", "bg_remove", "true"),
        ("bg_remove=2", "bg_remove", "2"),
        ("bg_colour=12345", "bg_colour", "12345"),
        ("bg_color=blurple", "bg_color", "blurple"),
        ("force_format=webp%2Cexe", "force_format", "webp,exe"),
        ("force_format=heic", "force_format", "heic"),
        ("force_format=webp,", "force_format", "webp,"),
        ("force_format=", "force_format", ""),
        ("q=0", "q", "0"),
        ("q=101", "q", "101"),
        ("q=85.5", "q", "85.5"),
        ("bg_notify=", "bg_notify", ""),
        ("bg_notify=h.example%2Fa", "bg_notify", "h.example/a"),
        ("bg_notify=//h.example/", "bg_notify", "//h.example/"),
        ("bg_notify=ftp://h.example/", "bg_notify", "ftp://h.example/"),
        ("bg_notify=https://", "bg_notify", "https://"),
        ("bg_notify=https:///a", "bg_notify", "https:///a"),
        ("bg_notify=https://u:p@h.example/", "bg_notify", "https://u:p@h.example/"),
        ("bg_notify=https://h.example/%23a", "bg_notify", "https://h.example/#a"),
        ("bg_notify=https://h.example/a+b", "bg_notify", "https://h.example/a b"),
        ("bg_notify=https://h.example/%0A", "bg_notify", "https://h.example/\n"),
        ("bg_notify=https://h.example/%C3%A9", "bg_notify", "https://h.example/é"),
        ("ci_url_encoded=2", "ci_url_encoded", "2"),
        ("ci_url_encoded", "ci_url_encoded", ""),
    ],
)
def test_bad_values_are_named(query: str, parameter: str, value: str) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_url("/samples.scaleflex.com/face.png", query)
    assert (caught.value.parameter, caught.value.value) == (parameter, value)
    assert caught.value.grammar in str(caught.value)


@pytest.mark.parametrize("name", ["w", "q", "org_if_sml", "bg_color"])
def test_very_long_numbers_are_no_special_case(name: str) -> None:
    try:
        assert parse_url("/h.example/a", f"{name}={'9' * 10_000}").spec.geometry.enlarge is Enlarge.NEVER
    except BadValueError as error:
        assert error.parameter == name


@pytest.mark.parametrize(
    ("text", "enlarge"),
    [
        ("1", Enlarge.NEVER),
        ("-5", Enlarge.NEVER),
        ("10", Enlarge.NEVER),
        ("-0", Enlarge.ALLOWED),
        ("00", Enlarge.ALLOWED),
    ],
)
def test_any_integer_but_zero_forbids_enlarging(text: str, enlarge: Enlarge) -> None:
    assert parse_url("/h.example/a", f"org_if_sml={text}").spec.geometry.enlarge is enlarge


@pytest.mark.parametrize(("length", "fine"), [(500, True), (501, False)])
def test_a_callback_has_a_longest_length(length: int, fine: bool) -> None:
    callback = "https://h.example/".ljust(length, "a")
    try:
        assert parse_url("/h.example/a", f"bg_notify={callback}").spec.removal.notify == callback
        assert fine
    except BadValueError as error:
        assert not fine
        assert error.parameter == "bg_notify"


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("jpg", (OutputFormat.JPEG,)),
        ("_webp", (OutputFormat.STRICT_WEBP,)),
        ("avif,webp,original", (OutputFormat.AVIF, OutputFormat.WEBP, OutputFormat.ORIGINAL)),
        ("webp%2C+gif", (OutputFormat.WEBP, OutputFormat.GIF)),
        ("jpg,jpeg", (OutputFormat.JPEG,)),
        ("webp,png,webp", (OutputFormat.WEBP, OutputFormat.PNG)),
    ],
)
def test_formats(text: str, formats: tuple[OutputFormat, ...]) -> None:
    assert _parse(f"/h.example/a.jpg?force_format={text}").spec.output.formats == formats


def test_an_unknown_format_is_refused_with_the_grammar() -> None:
    with pytest.raises(BadValueError, match="one of jpeg, jpg, png, webp, _webp, avif, gif, original; or several"):
        parse_url("/h.example/a", "force_format=webp,bmp")


@settings(deadline=None)
@given(addresses | st.text(), query_texts | st.text())
def test_any_text_is_parsed_or_refused(raw_path: str, query: str) -> None:
    try:
        parsed = parse_url(raw_path, query)
    except SpecError as error:
        assert str(error)
    else:
        assert len(set(parsed.ignored)) == len(parsed.ignored)
        origin = str(parsed.spec.origin)
        assert origin.isascii()
        assert origin.isprintable()
        assert " " not in origin
