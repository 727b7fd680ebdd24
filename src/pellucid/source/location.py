"""PURE: from what a URL named to the place where the origin lies: a web address or a local file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from yarl import URL

from pellucid.errors import BadOriginError, OriginNotFoundError, OriginRefusedError, SettingsError
from pellucid.source.weburl import covers, parse_web_url
from pellucid.spec import OriginRef

_SCHEMES = ("https", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLocation:
    """`address` is the URL without its scheme; `schemes` are those to try, in order; `host` carries the port."""

    schemes: tuple[str, ...]
    address: str
    host: str

    def url(self, scheme: str) -> str:
        """The URL to fetch."""
        return f"{scheme}://{self.address}"

    @property
    def name(self) -> str:
        """What identifies the location, whatever alias led to it."""
        return self.address if self.schemes == _SCHEMES else self.url("".join(self.schemes))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocation:
    """A file below `root`. `relative` has no dot segments; symbolic links are left to the reader. `public_name` says
    where it lies without naming the folder.
    """

    root: Path
    relative: PurePosixPath
    public_name: str

    @property
    def name(self) -> str:
        """What identifies the location, whatever alias led to it."""
        return f"file://{self.root / self.relative}"


Location = WebLocation | FileLocation


def check_aliases(aliases: Mapping[str, str]) -> None:
    """Raises SettingsError for an alias whose base is no http, https or file address."""
    for alias, base in aliases.items():
        try:
            _folder(base) if base.startswith("file:") else _web(base)
        except ValueError as error:
            raise SettingsError(
                f"alias {alias} leads to {base!r}, which is no address: "
                "write https://host/base/, host/base, or file:///folder"
            ) from error


def resolve(ref: OriginRef, *, aliases: Mapping[str, str], allow_hosts: tuple[str, ...]) -> Location:
    """Where `ref` lies. An alias is replaced by its base; `allow_hosts` (made by `normalise_hosts`, empty = any) holds
    for hosts that the URL named itself, aliases always pass.

    Raises OriginNotFoundError for an unknown alias, OriginRefusedError for a host outside the list or a path that
    climbs out of an alias's base, BadOriginError for what is no address.
    """
    try:
        if not ref.alias:
            return _web_of_host(ref, allow_hosts)
        base = aliases.get(ref.alias)
        if base is None:
            raise OriginNotFoundError(f"there is no alias {ref.alias}")
        if base.startswith("file:"):
            return FileLocation(root=_folder(base), relative=_relative(ref.path), public_name=str(ref))
        if _climbs(ref.path):
            raise OriginRefusedError("the path leaves the folder that the alias stands for")
        return _web(base.removesuffix("/") + ref.path)[1]
    except ValueError as error:
        raise BadOriginError(f"{ref} is no address that could be fetched") from error


def _web_of_host(ref: OriginRef, allow_hosts: tuple[str, ...]) -> WebLocation:
    url, location = _web(str(ref))
    if not covers(allow_hosts, url):
        raise OriginRefusedError(
            "this server does not fetch from that host; PELLUCID_ORIGIN_ALLOW_HOSTS lists those it does"
        )
    return location


def _web(text: str) -> tuple[URL, WebLocation]:
    schemed = _has_scheme(text)
    url = parse_web_url(text if schemed else f"https://{text}")
    host, address = url.raw_authority, str(url).partition("://")[2]
    if not schemed and text.partition("/")[0].endswith(":443"):
        # https drops its own port; without it http would go to port 80.
        bare = host.removesuffix(":443")
        address = f"{bare}:443{address.removeprefix(bare).removeprefix(':443')}"
    schemes = (url.scheme,) if schemed else _SCHEMES
    return url, WebLocation(schemes=schemes, address=address, host=host)


def _has_scheme(text: str) -> bool:
    """Whether `://` stands before any path or query, as it may in those."""
    head = text.partition("://")[0]
    return head != text and not set(head) & set("/?#")


def _folder(base: str) -> Path:
    parts = urlsplit(base)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise ValueError("not the address of a local folder")
    return path


def _relative(path: str) -> PurePosixPath:
    """The file named by a percent-encoded URL path. Raises OriginNotFoundError for dot segments and the like."""
    missing = "the folder has no such file"
    try:
        segments = [segment for segment in unquote(path, errors="strict").split("/") if segment]
    except UnicodeDecodeError as error:
        raise OriginNotFoundError(missing) from error
    if not segments or any(segment in (".", "..") or "\0" in segment for segment in segments):
        raise OriginNotFoundError(missing)
    return PurePosixPath(*segments)


def _climbs(path: str) -> bool:
    """Whether some server behind the alias could read a `..` in `path`, which may be encoded more than once."""
    for _ in range(4):
        # `..;x` is a dot segment with a parameter to Java servers.
        if any(segment.partition(";")[0] == ".." for segment in path.replace("\\", "/").split("/")):
            return True
        path = unquote(path)
    return False
