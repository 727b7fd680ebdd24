"""The tree in the docstring of `errors` is the tree of its classes."""

from __future__ import annotations

import re

from pellucid import errors
from pellucid.errors import PellucidError

_LINE = re.compile(r"(?P<indent>[│├└─ ]*)(?P<name>\w+Error)\b")


def _drawn() -> dict[str, str]:
    """Class to parent, as the docstring draws them."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is not None:
            depth = len(match["indent"]) // 4
            del above[depth:]
            if above:
                parents[match["name"]] = above[-1]
            above.append(match["name"])
    return parents


def test_every_error_class_is_in_the_tree() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PellucidError)]
    defined = {each.__name__: each.__bases__[0].__name__ for each in classes if each is not PellucidError}
    assert _drawn() == defined
