"""What a row of the table of parameters is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter. `field` is the place of its value in a `Spec` (`geometry.width`); the reader raises ValueError for
    text outside `grammar`; the writer returns None for the default. `default` is what leaving the parameter out is
    equal to, in the URL's spelling; None where no spelling says it. `extension` if Cloudimage has no such parameter;
    `refused` are values that it takes there and not here.
    """

    name: str
    aliases: tuple[str, ...] = ()
    reader: Callable[[str], Any]
    writer: Callable[[Any], str | None]
    field: str
    doc: str
    grammar: str
    default: str | None = None
    extension: bool = False
    refused: tuple[str, ...] = ()
