"""meant_by: a typo is told from a cache buster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.url.cloudimage import NOT_YET, REFUSED
from pellucid.url.params import PARAMS_BY_SPELLING
from pellucid.url.params.version import VERSION
from pellucid.url.spelling import MAX_LOOKED_AT, Meant, _mistakes, _nearest, compact, is_any_meant, meant_by

LONG = [name for name, param in PARAMS_BY_SPELLING.items() if param is not VERSION and sum(map(str.isalpha, name)) >= 4]
ABSENT = [name for absent in (*NOT_YET, *REFUSED) for name in absent.names]


def _typos(name: str) -> set[str]:
    """Every way to leave out a letter, double one, swap two neighbours or hit a wrong one; and other separators."""
    left_out = {name[:at] + name[at + 1 :] for at in range(len(name))}
    doubled = {name[:at] + name[at] + name[at:] for at in range(len(name))}
    swapped = {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)}
    wrong = {name[:at] + "k" + name[at + 1 :] for at in range(len(name))}
    spelled = {name.upper(), name.title(), name.replace("_", "-"), name.replace("_", ""), name.replace("_", " ")}
    typos = left_out | doubled | swapped | wrong | spelled
    return {typo for typo in typos if typo not in PARAMS_BY_SPELLING and sum(map(str.isalpha, typo)) >= 4}


@pytest.mark.parametrize("name", LONG)
def test_one_mistake_is_understood(name: str) -> None:
    same = PARAMS_BY_SPELLING[name].name
    typos = _typos(name)
    assert len(typos) > 5
    for typo in typos:
        meant = meant_by(typo)
        assert meant is not None, typo
        assert not meant.unsupported, typo
        if typo not in ABSENT:
            # `g_gravity` is as near to `gravity` as to `bg_gravity`.
            is_as_near = _mistakes(compact(meant.name), compact(typo), 2) <= _mistakes(compact(name), compact(typo), 2)
            assert PARAMS_BY_SPELLING[meant.name].name == same or is_as_near, typo


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[
            ("widht", "width"),
            ("heigth", "height"),
            ("heihgt", "height"),
            ("hieghtt", "height"),
            ("bgremove", "bg_remove"),
        ],
        *[("bg_remvoe", "bg_remove"), ("BG_REMOVE", "bg_remove"), ("bgRemove", "bg_remove"), ("bg_colr", "bg_color")],
        *[
            ("force_fromat", "force_format"),
            ("forceformat", "force_format"),
            ("fnuc", "func"),
            ("org_if_smal", "org_if_sml"),
        ],
        *[("quality", "q"), ("qualty", "q"), ("format", "force_format"), ("background", "bg_color"), ("rotate", "r")],
        *[("gravty", "gravity"), ("raduis", "radius"), ("bg_ravity", "bg_gravity"), ("ci_sgin", "ci_sign")],
    ],
)
def test_what_people_write(name: str, meant: str) -> None:
    assert meant_by(name) == Meant(meant)


@pytest.mark.parametrize("name", [name for absent in NOT_YET for name in absent.names])
def test_what_is_not_there_yet_is_known_by_its_name(name: str) -> None:
    assert meant_by(name) == Meant(name, unsupported=True)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "v",
            "vh",
            "V",
            "ver",
            "version",
            "versions",
            "v2",
            "rev",
            "revision",
            "_",
            "t",
            "ts",
            "x",
            "cb",
            "s",
            "W",
        ],
        *["utm_source", "utm_medium", "utm_campaign", "utm_id", "UTM_TERM", "utm_content", "utm_format", "utm_width"],
        *["fbclid", "gclid", "gclsrc", "dclid", "wbraid", "gbraid", "msclkid", "yclid", "ttclid", "twclid", "igshid"],
        *[
            "mc_cid",
            "mc_eid",
            "_ga",
            "_gl",
            "_hsenc",
            "_hsmi",
            "hsa_acc",
            "mkt_tok",
            "srsltid",
            "s_kwcid",
            "ref",
            "ref_src",
        ],
        *["cachebuster", "cache_buster", "cacheBust", "nocache", "no-cache", "cache", "bust", "rnd", "rand", "random"],
        *["timestamp", "time", "date", "mtime", "lastmod", "modified", "updated", "updated_at", "build", "release"],
        *["hash", "digest", "checksum", "etag", "uuid", "guid", "nonce", "token", "signature", "expires", "sig", "md5"],
        *["d41d8cd98f00b204e9800998ecf8427e", "1732758000", "3f2a9c", "abcdef12", "deadbeef", "20261128"],
        *[
            "page",
            "lang",
            "locale",
            "product",
            "variant",
            "source",
            "session",
            "user",
            "name",
            "test",
            "nonsense",
            "id",
        ],
        *["", "_", "é", "日本語日本語", "a" * 41, "w" * 10_000, "bg_remove" * 100],
    ],
)
def test_what_makes_urls_new_is_no_typo(name: str) -> None:
    assert meant_by(name) is None


@pytest.mark.parametrize("name", PARAMS_BY_SPELLING)
def test_what_is_known_is_no_typo(name: str) -> None:
    assert meant_by(name) is None


@given(st.text(alphabet="0123456789abcdef", min_size=16, max_size=40))
def test_digests_are_no_typos(name: str) -> None:
    assert meant_by(name) is None


def test_the_first_names_are_looked_at() -> None:
    busters = [f"x{number}" for number in range(MAX_LOOKED_AT)]
    assert is_any_meant([*busters[1:], "widht"])
    assert not is_any_meant([*busters, "widht"])
    assert not is_any_meant([])


def test_of_many_names_few_are_measured() -> None:
    """A URL of 32 kB that holds nothing but names, none of them seen before; and names as long as that."""
    before = _nearest.cache_info().misses
    assert not is_any_meant(f"unheard-of-{number}" for number in range(5000))
    assert _nearest.cache_info().misses - before == MAX_LOOKED_AT
    assert not is_any_meant("width" * (6000 + number) for number in range(MAX_LOOKED_AT))
    assert _nearest.cache_info().misses - before == MAX_LOOKED_AT, "they are not even remembered"


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.integers(0, 6))
def test_mistakes_are_counted_like_the_definition(one: str, other: str, allowed: int) -> None:
    assert min(_mistakes(one, other, allowed), allowed + 1) == min(_slowly(one, other), allowed + 1)


def _slowly(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    ways = [_slowly(one[:-1], other) + 1, _slowly(one, other[:-1]) + 1]
    ways.append(_slowly(one[:-1], other[:-1]) + (one[-1] != other[-1]))
    if len(one) > 1 and len(other) > 1 and one[-1] == other[-2] and one[-2] == other[-1]:
        ways.append(_slowly(one[:-2], other[:-2]) + 1)
    return min(ways)
