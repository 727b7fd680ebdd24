"""The rows of mattes, on both databases."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from matte_samples import DAY_S, DIGEST, NOW, OTHER, STORE, facts_of, name_of, newest, recipe, rows

from pellucid.database.database import Database
from pellucid.database.tables import mattes
from pellucid.image.box import Box
from pellucid.ledger import entries
from pellucid.ledger.values import Claim
from pellucid.mattes import facts
from pellucid.mattes.facts import KnownMatte, MatteFacts
from pellucid.spec import Tier, Token

SHOP, BLOG = Token("shop"), Token("blog")


async def _write(database: Database, *made: MatteFacts, store: str = STORE, now: float = NOW) -> None:
    for each in made:
        await database.run(partial(facts.write, facts=each, store=store, now=now))


async def _known(database: Database, *digests: str, token: Token = SHOP) -> list[KnownMatte]:
    return await database.read(partial(facts.known_mattes, store=STORE, token=token, digests=digests))


@pytest.mark.parametrize("subject", [None, Box(left=0, top=1, width=2, height=3)])
async def test_a_written_matte_is_found(database: Database, subject: Box | None) -> None:
    made = replace(facts_of(recipe(3)), subject=subject, confidence=0.25, size_bytes=2**40)
    await _write(database, made)
    assert await _known(database, DIGEST, OTHER) == [KnownMatte(facts=made, newest=True, charged=None)]
    assert await _known(database, OTHER) == []


async def test_the_latest_matte_is_the_newest_of_its_origin_page_and_tier(database: Database) -> None:
    others = [facts_of(recipe(3, Tier.BEST)), facts_of(recipe(3), OTHER), facts_of(recipe(3), page=1)]
    await _write(database, facts_of(recipe(3)), *others)
    await _write(database, facts_of(recipe(3)), store="elsewhere")
    await _write(database, facts_of(recipe(2)))
    assert await newest(database) == {name_of(recipe(2)), *(each.name for each in others)}
    assert await newest(database, store="elsewhere") == {name_of(recipe(3))}
    await _write(database, facts_of(recipe(3)))
    assert await newest(database) == {name_of(recipe(3)), *(each.name for each in others)}
    assert len(await rows(database)) == 5


async def test_each_token_gets_what_it_paid(database: Database) -> None:
    await _write(database, facts_of(recipe(2)), facts_of(recipe(3)), facts_of(recipe(3, Tier.FAST)))

    def charge(token: Token, tier: Tier, credits: int) -> partial[Any]:
        claim = Claim(token=token, origin_digest=DIGEST, tier=tier)
        return partial(entries.charge, claim=claim, credits=credits, now=NOW)

    await database.run(charge(SHOP, Tier.STANDARD, 200))
    await database.run(charge(BLOG, Tier.FAST, 0))
    found = {each.facts.name: (each.newest, each.charged) for each in await _known(database, DIGEST)}
    # A tier is paid once, whichever recipe its matte has.
    assert found == {
        name_of(recipe(2)): (False, 200),
        name_of(recipe(3)): (True, 200),
        name_of(recipe(3, Tier.FAST)): (True, None),
    }
    found = {each.facts.name: (each.newest, each.charged) for each in await _known(database, DIGEST, token=BLOG)}
    assert found[name_of(recipe(3, Tier.FAST))] == (True, 0)
    assert found[name_of(recipe(3))] == (True, None)


async def test_other_pages_stores_and_versions_are_left_alone(database: Database) -> None:
    await _write(database, facts_of(recipe(3), page=1))
    await _write(database, facts_of(recipe(3)), store="elsewhere")
    await _write(database, facts_of(recipe(2)))
    await database.run(lambda db: db.execute(mattes.update().where(mattes.c.page == 0).values(version=2)))
    assert await _known(database, DIGEST) == []


async def test_deleted_mattes_are_not_found(database: Database) -> None:
    await _write(database, facts_of(recipe(2)), facts_of(recipe(3)), facts_of(recipe(3), OTHER))
    await _write(database, facts_of(recipe(3)), store="elsewhere")
    names = await database.read(partial(facts.names_of, origin_digest=DIGEST, store=STORE))
    assert sorted(names) == [name_of(recipe(2)), name_of(recipe(3))]
    await database.run(partial(facts.delete, names=[*names, "never there"], store=STORE))
    assert set(await rows(database)) == {name_of(recipe(3), OTHER)}
    assert set(await rows(database, store="elsewhere")) == {name_of(recipe(3))}


async def test_uses_are_recorded_once_a_day(database: Database) -> None:
    await _write(database, facts_of(recipe(3)))

    async def used_at(now: float) -> float:
        await database.run(partial(facts.note_uses, names=[name_of(recipe(3)), "no"], store=STORE, now=now))
        return (await rows(database))[name_of(recipe(3))].used_at

    assert await used_at(NOW + DAY_S - 1) == NOW
    assert await used_at(NOW + DAY_S + 1) == NOW + DAY_S + 1
    assert await used_at(NOW + 2 * DAY_S) == NOW + DAY_S + 1
    await _write(
        database, facts_of(recipe(3)), now=NOW + 3 * DAY_S
    )  # computed again: it was damaged, or the job ran twice
    row = (await rows(database))[name_of(recipe(3))]
    assert (row.made_at, row.used_at) == (NOW + 3 * DAY_S, NOW + DAY_S + 1)


async def _adopt(database: Database, made: MatteFacts, made_at: float) -> None:
    await database.run(partial(facts.adopt, facts=made, store=STORE, made_at=made_at))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_of_adopted_mattes_the_latest_is_the_newest(database: Database, order: tuple[int, ...]) -> None:
    """Recipe 1 is the latest: the operator went back to it."""
    moments = {1: NOW, 2: NOW - 100, 3: NOW - 50}
    for version in order:
        await _adopt(database, facts_of(recipe(version)), moments[version])
    assert await newest(database) == {name_of(recipe(1))}
    assert {row.made_at for row in (await rows(database)).values()} == set(moments.values())


async def test_a_second_adoption_changes_nothing(database: Database) -> None:
    """Two processes with the same list."""
    for version in (1, 2, 1, 2):
        await _adopt(database, facts_of(recipe(version)), NOW + version)
        assert len(await newest(database)) == 1
    assert await newest(database) == {name_of(recipe(2))}


async def test_a_matte_that_a_worker_adds_meanwhile_stays_the_newest(database: Database) -> None:
    await _write(database, facts_of(recipe(3)))
    await _adopt(database, facts_of(recipe(2)), NOW - 1)
    await _adopt(database, facts_of(recipe(3)), NOW)  # the file's time may be that of the row
    assert await newest(database) == {name_of(recipe(3))}
