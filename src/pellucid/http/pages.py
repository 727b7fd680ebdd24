"""How pages and their files are sent: validators, gzip, and a policy that lets nothing run but this server's files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import metadata

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pellucid.http.headers import is_not_modified
from pellucid.http.problems import NO_SUCH_PAGE, make_problem
from pellucid.http.responses import problem_answer
from pellucid.pages.files import PageFile, read_files
from pellucid.pages.frame import DEMO, MANUAL, USAGE, Frame, source_of
from pellucid.pages.manual import Manual, find_manual, frame_page

FILES = "/-/pages/"

_LIFE = {"cache-control": "no-cache"}
"""Asked again every time, which costs a 304 each, so that a page and its scripts are always of one version."""

_STILL = (
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
_MOVING = ("script-src 'self'", "connect-src 'self'", "require-trusted-types-for 'script'")


def guards(*, scripts: bool) -> dict[str, str]:
    """Headers of a page. Pictures of one's own are shown from blob: URLs before they are sent. Scripts and styles are
    files of this server; a picture of somebody else's server cannot pose as one, because it is sent with its type and
    nosniff.
    """
    return {
        "content-security-policy": "; ".join((*_STILL, *_MOVING) if scripts else _STILL),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def file_answer(request: Request, file: PageFile, headers: dict[str, str] | None = None) -> Response:
    """The file, compressed for who reads gzip; 304 for who has it."""
    headers = {"vary": "Accept-Encoding", **_LIFE, **(headers or {}), "etag": f"W/{file.etag}"}
    if is_not_modified(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if file.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.zipped, media_type=file.media_type, headers=headers | {"content-encoding": "gzip"})
    return Response(file.body, media_type=file.media_type, headers=headers)


def accepts_html(accept: str) -> bool:
    """Whether `accept` (RFC 9110, section 12.5.1) names text/html with a weight above 0. `*/*` does not: it is what
    curl sends.
    """
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower().replace(" ", "") for part in element.split(";"))
        if media_range == "text/html":
            return not any(parameter.startswith("q=") and not parameter[2:].strip("0.") for parameter in parameters)
    return False


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of this server: what they share, and the manual where there is one."""

    frame: Frame
    manual: Manual | None


def open_pages(*, demo: bool) -> Pages:
    """The pages; where the demo is turned off the manual is, too."""
    manual = find_manual() if demo else None
    there = {DEMO: demo, USAGE: True, MANUAL: manual is not None}
    package = metadata("pellucid")
    frame = Frame(
        version=package["Version"],
        pages=frozenset(page for page, is_there in there.items() if is_there),
        source=source_of(package.get_all("Project-URL") or ()),
    )
    return Pages(frame, manual)


def page_routes(pages: Pages) -> list[Route]:
    """The files of the pages that this server has, and its manual."""
    folders = ["", "usage", *(["demo"] if DEMO in pages.frame.pages else [])]
    files = {name: file for folder in folders for name, file in read_files(folder).items()}

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        return _missing(request) if found is None else file_answer(request, found)

    routes = [Route(FILES + "{name:path}", file)]
    return routes if pages.manual is None else [*routes, *_manual_routes(pages.manual, pages.frame)]


def _manual_routes(manual: Manual, frame: Frame) -> list[Route]:
    made: dict[str, _Made] = {}
    """What somebody has read: no more than there are files."""

    async def answer(request: Request) -> Response:
        url = request.scope["path"].rstrip("/")
        found = made.get(url) or _make(manual, frame, url)
        if found is None:
            return _missing(request)
        made[url] = found
        if found.text is None:
            return file_answer(request, found.file)
        if not accepts_html(request.headers.get("accept", "")):
            return PlainTextResponse(found.text, media_type="text/markdown", headers={"vary": "Accept", **_LIFE})
        return file_answer(request, found.file, guards(scripts=False) | {"vary": "Accept, Accept-Encoding"})

    return [Route(MANUAL, answer), Route(MANUAL + "/{name:path}", answer)]


@dataclass(frozen=True, slots=True)
class _Made:
    """A file of the manual as it is sent; of a page its text as well."""

    file: PageFile
    text: str | None = None


def _make(manual: Manual, frame: Frame, url: str) -> _Made | None:
    file = manual.file(url)
    if file is not None:
        return _Made(file)
    page = manual.page(url)
    return None if page is None else _Made(frame_page(page, frame), page.text)


def _missing(request: Request) -> Response:
    return problem_answer(make_problem(NO_SUCH_PAGE, detail=f"{request.url.path} is none of this server's pages"))
