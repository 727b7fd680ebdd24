"""Every route of the server stands on a page of the manual."""

from __future__ import annotations

from pathlib import Path

from contract_world import running, settings_for

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}


async def test_every_route_is_documented(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as app:
        paths = {route.path for route in app._service.router.routes}  # type: ignore[attr-defined]
    named = {path.partition("{")[0].rstrip("/") or "/" for path in paths}
    assert len(named) > 10
    missing = [path for path in sorted(named - {"/"}) if not any(path in text for text in PAGES.values())]
    assert missing == []
