"""A disk that has less free space than it is to keep."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract_world import ask, photo, put_matte, running, settings_for

NO_DISK_HAS_THIS = 10**18


@pytest.mark.parametrize(("min_free_bytes", "state", "upload"), [(0, "pending", 201), (NO_DISK_HAS_THIS, "busy", 503)])
async def test_no_new_matte_is_owed_and_no_upload_taken(
    tmp_path: Path, min_free_bytes: int, state: str, upload: int
) -> None:
    settings = settings_for(tmp_path, cache={"min_free_bytes": min_free_bytes})
    new, cut = photo(1), photo(2)
    (tmp_path / "pictures" / "new.jpg").write_bytes(new)
    (tmp_path / "pictures" / "cut.jpg").write_bytes(cut)
    await put_matte(settings, cut)
    async with running(settings) as app:
        answer = await ask(app, "GET", "/_p_/new.jpg?w=20&bg_remove=1")
        assert answer.status == 200
        assert answer.headers["pellucid-cutout"].partition(";")[0] == state
        # What is there is shown, and what can be made without the disk is made.
        assert (await ask(app, "GET", "/_p_/new.jpg?w=30")).status == 200
        assert (await ask(app, "GET", "/_p_/cut.jpg?w=30&bg_remove=1")).headers["pellucid-cutout"] == "ready"
        assert (await ask(app, "POST", "/-/uploads", body=new)).status == upload
