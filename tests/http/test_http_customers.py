"""Two customers of one server: each has its own pictures, lifetimes and tier, whatever the other asked for before."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contract_world import Answer, ask, pay, photo, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

from pellucid.customers.customer import hash_key
from pellucid.cutout.recipe import tier_of
from pellucid.engine import Engine
from pellucid.liveness.lock_files import LockFiles
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes.files import MatteFiles
from pellucid.queue.work import Workplace
from pellucid.settings.model import SettingsTree
from pellucid.spec import Tier, Token
from pellucid.store import keys
from pellucid.wiring.paths import Paths
from pellucid.wiring.storage import open_blobs, open_database, open_queue
from pellucid.worker import matte_handler
from tiny import TinyModel

NAMES = ("shop", "blog")
PICTURES = {"shop": photo(1, suffix="PNG"), "blog": photo(2, suffix="PNG"), "all": photo(3, suffix="PNG")}
HOT = "Pellucid; hit; detail=hot"


def _settings(folder: Path, *, of: dict[str, dict[str, Any]], **more: Any) -> SettingsTree:
    """Two customers, by host name and by key, each with a folder of its own behind `_own_`; `_p_` is everybody's."""
    tokens: dict[str, Any] = {}
    for name in NAMES:
        pictures = folder / name
        pictures.mkdir()
        (pictures / "a.png").write_bytes(PICTURES[name])
        tokens[name] = {
            "hosts": [f"{name}.example"],
            "key_hash": hash_key(f"pel_{name}"),
            "aliases": {"_own_": pictures.as_uri()},
            **of.get(name, {}),
        }
    settings = settings_for(folder, tokens=tokens, **more)
    (folder / "pictures" / "a.png").write_bytes(PICTURES["all"])
    return settings


async def _ask(app: ASGIApp, name: str, url: str, *, key: bool = False, etag: str = "") -> Answer:
    who = {"host": "elsewhere.example", "authorization": f"Bearer pel_{name}"} if key else {"host": f"{name}.example"}
    return await ask(app, "GET", url, who | ({"if-none-match": etag} if etag else {}))


def _pixels(picture: bytes) -> bytes:
    return Image.open(io.BytesIO(picture)).convert("RGB").tobytes()


@pytest.mark.parametrize("key", [False, True], ids=["by host", "by key"])
async def test_one_alias_shows_each_customer_their_own_picture(tmp_path: Path, *, key: bool) -> None:
    """Asked in turns: from the origin, from the cache of renditions, from that of whole answers, and after a start."""
    settings = _settings(tmp_path, of={})
    seen: dict[str, set[str]] = {name: set() for name in NAMES}
    for _ in range(2):
        async with running(settings) as app:
            for _ in range(3):
                for name in NAMES:
                    answer = await _ask(app, name, "/_own_/a.png?force_format=png", key=key)
                    assert _pixels(answer.body) == _pixels(PICTURES[name])
                    seen[name] |= {answer.headers["etag"], answer.headers["cache-tag"]}
                    hit = await _ask(app, name, "/_own_/a.png?force_format=png", key=key)
                    assert (hit.headers["cache-status"], hit.body) == (HOT, answer.body)
                    again = await _ask(app, name, "/_own_/a.png?w=30&force_format=png", key=key)
                    assert again.headers["etag"] not in seen[name]
            other = await _ask(
                app, "blog", "/_own_/a.png?force_format=png", key=key, etag=next(e for e in seen["shop"] if '"' in e)
            )
            assert other.status == 200, "another customer's validator holds for nothing"
    assert not seen["shop"] & seen["blog"]
    assert [len(each) for each in seen.values()] == [2, 2]


async def test_cutouts_behind_one_alias_are_each_customers_own(tmp_path: Path) -> None:
    settings = _settings(tmp_path, of={})
    for name in NAMES:
        await put_matte(settings, PICTURES[name])
    await pay(settings, PICTURES["shop"], token=Token("shop"))
    url = "/_own_/a.png?bg_remove=1&bg_color=f00&force_format=png"
    async with running(settings) as app:
        for _ in range(3):
            bodies = {name: await _ask(app, name, url) for name in NAMES}
            for name, answer in bodies.items():
                assert answer.headers["pellucid-cutout"] == "ready"
                shown = Image.open(io.BytesIO(answer.body)).convert("RGB").crop((20, 15, 40, 25)).tobytes()
                assert shown == Image.open(io.BytesIO(PICTURES[name])).crop((20, 15, 40, 25)).tobytes()
        assert bodies["shop"].headers["cache-status"] == HOT
        status = [json.loads((await _ask(app, name, f"/-/status{url}")).body) for name in NAMES]
        assert [each["state"] for each in status] == ["ready", "ready"]


async def test_everybodys_alias_is_seen_by_all_but_who_took_its_name(tmp_path: Path) -> None:
    own = tmp_path / "taken"
    own.mkdir()
    (own / "a.png").write_bytes(PICTURES["shop"])
    aliases = {"_p_": own.as_uri(), "_only_": own.as_uri()}
    settings = _settings(tmp_path, of={"shop": {"aliases": aliases}})
    async with running(settings) as app:
        for _ in range(2):
            for name, shown in (("shop", "shop"), ("blog", "all")):
                answer = await _ask(app, name, "/_p_/a.png?force_format=png")
                assert _pixels(answer.body) == _pixels(PICTURES[shown])
            assert (await _ask(app, "shop", "/_only_/a.png")).status == 200
            assert (await _ask(app, "blog", "/_only_/a.png")).status == 404
            for name in NAMES:
                assert (await _ask(app, name, "/_samples_/dog.jpg?w=8")).status == 200


async def test_lifetimes_are_the_customers(tmp_path: Path) -> None:
    """In every state that a picture has here, the first time, from memory, on a 304, and with a key."""
    lives = {"browser_s": 7, "cdn_s": 8, "pending_s": 9}
    settings = _settings(tmp_path, of={"shop": lives}, cache={"browser_s": 70, "pending_s": 90}, cdn={"targeted": True})
    await put_matte(settings, PICTURES["all"])
    year = 365 * 86_400
    async with running(settings) as app:
        for url, shop, blog in (
            ("/_p_/a.png", (7, 8), (70, year)),
            ("/_p_/a.png?bg_remove=1", (7, 8), (70, year)),
            ("/_own_/a.png?bg_remove=1", (9, 9), (90, 90)),
        ):
            for _ in range(2):
                for name, (browser_s, cdn_s) in (("shop", shop), ("blog", blog)):
                    answer = await _ask(app, name, url)
                    public = f"public, max-age={browser_s}, s-maxage={cdn_s}"
                    assert answer.headers["cache-control"] == public
                    assert answer.headers["cdn-cache-control"] == f"max-age={cdn_s}"
                    unchanged = await _ask(app, name, url, etag=answer.headers["etag"])
                    assert (unchanged.status, unchanged.headers["cache-control"]) == (304, public)
                    private = await _ask(app, name, url, key=True)
                    assert private.headers["cache-control"] == f"private, max-age={browser_s}"


@asynccontextmanager
async def _working(settings: SettingsTree, engine: Engine, made: list[str]) -> AsyncGenerator[None]:
    """A matte worker; `made` are the recipes of what it took."""
    blobs = open_blobs(settings)
    handler = matte_handler(engine, origins=blobs, mattes=MatteFiles(blobs), time_limit_s=60)
    recipes = tuple(each.id for each in engine.recipe.by_tier.values())
    info = WorkerInfo(worker_id="w", pid=1, model="tiny", device="d", precision="f32", recipe_ids=recipes)

    async def noting(job: Any) -> Any:
        made.append(job.recipe_id)
        return await handler(job)

    async with open_database(settings) as database, open_queue(settings, database) as queue:
        stop = asyncio.Event()
        workplace = Workplace(database, queue, LockFiles(Paths.below(settings.data_dir).workers))
        work = asyncio.create_task(workplace.work(noting, info=info, stop=stop))
        try:
            yield
        finally:
            stop.set()
            await work


async def test_a_url_that_names_no_tier_is_cut_in_the_customers(tmp_path: Path, tiny_model: TinyModel) -> None:
    """One picture, three customers: the worker makes what each has by default, and each pays for that."""
    tokens: dict[str, Any] = {
        "cheap": {"hosts": ["cheap.example"], "quality": "fast"},
        "dear": {"hosts": ["dear.example"], "quality": "best"},
        "usual": {"hosts": ["usual.example"]},
    }
    settings = settings_for(tmp_path, tokens=tokens, web={"wait_s": 20})
    (tmp_path / "pictures" / "a.png").write_bytes(PICTURES["all"])
    engine = Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)
    made: list[str] = []
    tiers = {"cheap": Tier.FAST, "dear": Tier.BEST, "usual": Tier.STANDARD}
    prices = {Tier.FAST: 100, Tier.STANDARD: 200, Tier.BEST: 400}
    async with running(settings, recipe=engine.recipe) as app:
        for name, tier in tiers.items():
            status = json.loads((await _ask(app, name, "/-/status/_p_/a.png?bg_remove=1")).body)
            assert (status["state"], status["credits"]["price"]) == ("unasked", prices[tier])
        async with _working(settings, engine, made):
            for name, tier in tiers.items():
                answer = await _ask(app, name, "/_p_/a.png?bg_remove=1&bg_pending=wait")
                assert answer.headers["pellucid-cutout"] == "ready"
                assert answer.headers["pellucid-credits"] == f"charged={prices[tier]}"
        assert [tier_of(recipe_id) for recipe_id in made] == list(tiers.values())
        for name, tier in tiers.items():
            # Said or not, it is the same cutout; and it is there, so nothing more is owed.
            said = await _ask(app, name, f"/_p_/a.png?bg_remove=1&bg_quality={tier}")
            silent = await _ask(app, name, "/_p_/a.png?bg_remove=1")
            assert (said.headers["pellucid-cutout"], said.headers["etag"]) == ("ready", silent.headers["etag"])
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        assert {name: (await queue.balance(Token(name))).charged for name in tiers} == {
            name: prices[tier] for name, tier in tiers.items()
        }
        digest = keys.digest(PICTURES["all"])
        found = await queue.known(Token("cheap"), [digest])
        assert {each.facts.tier: each.charged for each in found} == {
            Tier.FAST: 100,
            Tier.STANDARD: None,
            Tier.BEST: None,
        }
