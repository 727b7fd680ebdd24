"""The manual: every page is there, every link leads somewhere, nothing in the texts can become markup."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from pellucid.pages.frame import DEMO, MANUAL, USAGE, Frame, source_of
from pellucid.pages.manual import Manual, find_manual, frame_page

ROOT = Path(__file__).parents[2]
FRAME = Frame(version="1.2.3")


def _write(root: Path, **texts: str) -> Manual:
    (root / "docs").mkdir(parents=True)
    readme = "# It\n\n## Read on\n\n[the page](docs/page.md) · [decisions](docs/adr/) · [licence](LICENSE)\n"
    for name, text in {"README.md": readme, "LICENSE": "Free & <open>", **texts}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Manual(root)


def _html(manual: Manual, name: str) -> str:
    page = manual.page(f"{MANUAL}/{name}".rstrip("/"))
    assert page is not None
    return page.html


@pytest.fixture(scope="module")
def ours() -> Manual:
    manual = find_manual()
    assert manual is not None
    return manual


def test_every_text_is_a_page_and_the_contents_name_them_all(ours: Manual) -> None:
    contents = _html(ours, "").partition("</nav>")[0]
    for path in (ROOT / "docs").glob("*.md"):
        assert ours.page(f"{MANUAL}/{path.stem}"), path
        assert f'"{MANUAL}/{path.stem}"' in contents, path
    for path in (ROOT / "docs" / "adr").glob("*.md"):
        assert f'href="{MANUAL}/adr/{path.stem}"' in _html(ours, "adr")


def test_every_link_leads_to_a_page_a_file_and_a_heading(ours: Manual) -> None:
    pages = {url: page for url in ours.urls if (page := ours.page(url)) is not None}
    assert len(pages) > 25
    followed = 0
    for page in pages.values():
        for target in re.findall(r'(?:href|src)="(/[^"]*|#[^"]*)"', frame_page(page, FRAME).body.decode()):
            url, _, fragment = unescape(target).partition("#")
            url = url or page.url
            if url in (DEMO, USAGE) or url.startswith("/-/pages/"):
                continue
            assert url in pages or ours.file(url), f"{page.url} links to {target}"
            assert not fragment or f' id="{fragment}"' in pages[url].html, f"{page.url} links to {target}"
            followed += 1
    assert followed > 500


def test_no_element_has_a_style_of_its_own(ours: Manual) -> None:
    """The policy of pages forbids it."""
    for url in ours.urls:
        page = ours.page(url)
        assert page is None or " style=" not in page.html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;"),
        ('<img src="x" onerror="y">', "&lt;img"),
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("before <!-- a <b>note</b> --> after", "before  after"),
        ("[there](page.md#a-b)", f'href="{MANUAL}/page#a-b"'),
        ("[up](../README.md)", f'href="{MANUAL}"'),
        ("[nowhere](../../etc/passwd)", f'href="{MANUAL}"'),
        ("[out](https://example.com/a.md)", 'href="https://example.com/a.md"'),
        ("## What `it` does, in full!", '<h2 id="what-it-does-in-full">'),
        ("## Twice\n\n## Twice", '<h2 id="twice-1">'),
        ("|a|b|\n|-|-:|\n|1|2|", '<td class="number">2</td>'),
    ],
)
def test_markdown_becomes_pages(tmp_path: Path, text: str, html: str) -> None:
    manual = _write(tmp_path, **{"docs/page.md": f"# Page\n\n{text}\n"})
    assert html in _html(manual, "page")


def test_only_files_that_were_found_can_be_asked_for(tmp_path: Path) -> None:
    manual = _write(
        tmp_path / "root", **{"docs/page.md": "# Page", "docs/images/a.svg": "<svg/>", "docs/b.py": "secret"}
    )
    (tmp_path / "secret.md").write_text("# Secret")
    (tmp_path / "root" / "secret.md").write_text("# Secret")
    for name in ("../secret", "/../secret", "secret", "nothing", "b.py", "images", "", "docs/page"):
        url = f"{MANUAL}/{name}"
        assert manual.page(url) is None, name
        assert manual.file(url) is None, name
    found = manual.file(f"{MANUAL}/images/a.svg")
    assert found is not None
    assert (found.body, found.media_type) == (b"<svg/>", "image/svg+xml")
    assert "Free &amp; &lt;open&gt;" in _html(manual, "LICENSE")


def test_the_frame_links_what_there_is(tmp_path: Path) -> None:
    page = _write(tmp_path).page(MANUAL)
    assert page is not None
    whole = frame_page(page, FRAME).body.decode()
    assert whole.count('aria-current="page"') == 2, "in the head and in the contents"
    for part in ('href="/"', 'href="/-/usage"', f'href="{MANUAL}" aria-current="page">Docs', "Pellucid 1.2.3"):
        assert part in whole
    alone = Frame(version="1", pages=frozenset({USAGE})).around("<main></main>", title="<b>", name="usage", place=USAGE)
    assert "&lt;b&gt;" in alone
    assert MANUAL not in alone
    assert 'href="/"' not in alone
    assert "Apache-2.0" in alone


@pytest.mark.parametrize(
    ("urls", "source"),
    [
        ([], ""),
        (["Homepage, https://example.com"], ""),
        (["Source, https://example.com/code"], "https://example.com/code"),
        (["Docs, https://example.com/docs", "repository,https://example.com/repo"], "https://example.com/repo"),
        (["Source, javascript:alert(1)"], ""),
        (["Source"], ""),
    ],
)
def test_the_source_is_where_the_package_says(urls: list[str], source: str) -> None:
    assert source_of(urls) == source
    foot = Frame(version="1", source=source).around("", title="", name="", place="").partition("<footer")[2]
    assert f'href="{source or MANUAL + "/source"}">Source</a>' in foot
