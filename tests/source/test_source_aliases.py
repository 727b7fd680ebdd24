"""What aliases may be called."""

from __future__ import annotations

import pytest

from pellucid.errors import SettingsError
from pellucid.source.aliases import check_alias_names
from pellucid.url.origin import read_origin


@pytest.mark.parametrize("name", ["_a_", "_shop_", "__shop__", "_a-b.c~D9_"])
def test_what_a_url_can_hold(name: str) -> None:
    check_alias_names([name])
    assert read_origin(f"/{name}/a.jpg", url_encoded=False).alias == name


@pytest.mark.parametrize("name", ["", "_", "__", "shop", "_shop", "shop_", "_a/b_", "_ä_", "_a b_", "_a?b_", "_a_\n"])
def test_what_no_url_holds(name: str) -> None:
    with pytest.raises(SettingsError, match="is no alias: write letters"):
        check_alias_names(["_shop_", name])


@pytest.mark.parametrize("names", [("_a_", "_a_b_"), ("_b_a_", "_a_"), ("_a_", "__a__")])
def test_none_is_contained_in_another(names: tuple[str, str]) -> None:
    one, other = names
    for own, others in (([one, other], []), ([one], [other]), ([other], [one])):
        with pytest.raises(SettingsError, match="the alias _a_ is contained in _"):
            check_alias_names(own, others=others)
    check_alias_names(["_other_"], others=[one, other])  # which is between these two
    check_alias_names([one], others=[one])


def test_alike_is_not_contained() -> None:
    check_alias_names(["_shop_", "_shops_", "_my-shop_"], others=["_SHOP_"])
