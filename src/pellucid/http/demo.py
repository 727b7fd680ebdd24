"""`/`: the demo page for browsers, a few lines of text for everybody else.

The page is files of the package, without a build step; it knows this server's limits from JSON in its HTML and talks to
the public URL API only.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pellucid import keys
from pellucid.demo.samples import SAMPLE_PATHS
from pellucid.http.answers import problem_answer
from pellucid.http.headers import is_not_modified
from pellucid.http.problems import NO_SUCH_PAGE, make_problem
from pellucid.settings.model import SettingsTree
from pellucid.settings.sections.origin import UploadSettings

_PREFIX = "/-/demo/"
_LIFE = "public, max-age=300"

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Pictures of one's own are shown from blob: URLs before they are sent. Scripts and styles are files of this server; a
# picture of somebody else's server cannot pose as one, because it is sent with its type and nosniff.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
_GUARDS = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}

_TEXT = """\
Pellucid {version}: pictures without their background, by URL.

  /<host>/<path>?w=400                            400 px wide
  /<host>/<path>?w=400&bg_remove=1                without its background
  /<host>/<path>?w=400&bg_remove=1&bg_color=456   on #445566

The first answer to bg_remove is the original with `Pellucid-Cutout: pending` and 5 s to live; ask again.
"""


class _UploadFacts(msgspec.Struct, frozen=True):
    """Limits of uploads: bytes, seconds."""

    max_bytes: int
    keep_s: float


class _Facts(msgspec.Struct, frozen=True):
    """What the page knows of this server. `samples` are paths of pictures; `uploads` is None where none are taken."""

    tier: str
    samples: tuple[str, ...]
    uploads: _UploadFacts | None


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent: its bytes, the same for clients that read gzip, and what their weak ETag quotes."""

    body: bytes
    zipped: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> _File:
        return cls(body, gzip.compress(body, mtime=0), f'"{keys.digest(body)[:24]}"')


def demo_routes(settings: SettingsTree) -> list[Route]:
    """`/`, and the files of the page unless it is turned off."""
    text = _TEXT.format(version=version("pellucid"))

    async def plain(_: Request) -> Response:
        return PlainTextResponse(text)

    if not settings.web.demo:
        return [Route("/", plain)]

    folder = resources.files("pellucid.demo").joinpath("page")
    html = folder.joinpath("index.html").read_text(encoding="utf-8")
    files = {
        entry.name: _File.of(entry.read_bytes())
        for entry in folder.iterdir()
        if Path(entry.name).suffix in _MEDIA_TYPES
    }

    async def front_page(request: Request) -> Response:
        if not accepts_html(request.headers.get("accept", "")):
            return PlainTextResponse(text, headers={"vary": "Accept"})
        facts = _Facts(
            tier=str(settings.model.quality),
            samples=SAMPLE_PATHS,
            uploads=_upload_facts(settings.uploads),
        )
        page = _File.of(html.replace("{facts}", embedded_json(facts)).encode())
        headers = _GUARDS | {"cache-control": "no-cache", "vary": "Accept, Accept-Encoding"}
        return _answer(request, page, media_type="text/html; charset=utf-8", headers=headers)

    async def file(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in files:
            return problem_answer(
                make_problem(NO_SUCH_PAGE, detail=f"{request.url.path} is none of this server's pages")
            )
        headers = {"cache-control": _LIFE, "vary": "Accept-Encoding"}
        return _answer(request, files[name], media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)

    return [Route("/", front_page), Route(_PREFIX + "{name}", file)]


def accepts_html(accept: str) -> bool:
    """Whether `accept` (RFC 9110, section 12.5.1) names text/html with a weight above 0. `*/*` does not: it is what
    curl sends.
    """
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower().replace(" ", "") for part in element.split(";"))
        if media_range == "text/html":
            return not any(parameter.startswith("q=") and not parameter[2:].strip("0.") for parameter in parameters)
    return False


def embedded_json(value: object) -> str:
    """`value` as JSON for a `<script type="application/json">`: no `<` that could end it."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _upload_facts(uploads: UploadSettings) -> _UploadFacts | None:
    return _UploadFacts(uploads.max_bytes, uploads.keep_s) if uploads.enabled else None


def _answer(request: Request, file: _File, *, media_type: str, headers: dict[str, str]) -> Response:
    headers = headers | {"etag": f"W/{file.etag}"}
    if is_not_modified(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.zipped, media_type=media_type, headers=headers | {"content-encoding": "gzip"})
    return Response(file.body, media_type=media_type, headers=headers)
