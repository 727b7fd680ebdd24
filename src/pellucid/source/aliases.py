"""PURE: what aliases may be called. `source.location` says where they lead."""

from __future__ import annotations

import re
from collections.abc import Collection

from pellucid.errors import SettingsError

_NAME = re.compile(r"_[A-Za-z0-9._~-]+_")
"""Characters that stand in a URL as they are (RFC 3986, section 2.3)."""


def check_alias_names(names: Collection[str], *, others: Collection[str] = ()) -> None:
    """Raises SettingsError for one of `names` that no URL holds, and for one that is contained in another, or contains
    another, of `names` and `others`: Cloudimage takes the first that it finds anywhere in a path.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{name!r} is no alias: write letters, digits and -.~ between two _, such as _shop_")
    for name in names:
        for other in {*names, *others} - {name}:
            if name in other or other in name:
                inner, outer = sorted((name, other), key=len)
                raise SettingsError(f"the alias {inner} is contained in {outer}; rename one of them")
