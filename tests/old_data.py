"""A data directory as versions before the single database left it, made with their schemas."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

_JOBS = """
CREATE TABLE jobs (
    turn INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, origin_digest TEXT NOT NULL, page INTEGER NOT NULL,
    recipe_id TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'failed')),
    priority INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL DEFAULT 0, owner TEXT,
    failures INTEGER NOT NULL DEFAULT 0, reason TEXT, error TEXT,
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK (state <> 'failed' OR reason IS NOT NULL)
);
CREATE INDEX jobs_in_order ON jobs (state, priority DESC, turn);
CREATE TABLE pace (job_s REAL NOT NULL, checked_at REAL NOT NULL);
INSERT INTO pace VALUES (0, 0);
"""

_WORKERS = """
CREATE TABLE workers (
    worker_id TEXT PRIMARY KEY, pid INTEGER NOT NULL, model TEXT NOT NULL, device TEXT NOT NULL,
    precision TEXT NOT NULL, {recipes} TEXT NOT NULL, seen_at REAL NOT NULL
) WITHOUT ROWID;
"""

_OUTBOX = """
CREATE TABLE listeners (
    key TEXT NOT NULL, url TEXT NOT NULL, image TEXT NOT NULL, PRIMARY KEY (key, url)
) WITHOUT ROWID;
CREATE TABLE deliveries (
    turn INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, receiver TEXT NOT NULL,
    url TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL,
    claimed_until REAL NOT NULL DEFAULT 0, created_at REAL NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (receiver, due_at);
CREATE INDEX deliveries_under_way ON deliveries (receiver, claimed_until);
"""

LEDGER = """
CREATE TABLE ledger_schema (version INTEGER NOT NULL, PRIMARY KEY (version));
INSERT INTO ledger_schema VALUES (1);
CREATE TABLE balances (
    token VARCHAR NOT NULL, month VARCHAR(7) NOT NULL, charged BIGINT NOT NULL, PRIMARY KEY (token, month)
);
CREATE TABLE charges (
    token VARCHAR NOT NULL, origin_digest VARCHAR(32) NOT NULL, tier VARCHAR NOT NULL, operation VARCHAR NOT NULL,
    credits BIGINT NOT NULL, origin_host VARCHAR NOT NULL, day VARCHAR(10) NOT NULL, charged_at FLOAT NOT NULL,
    PRIMARY KEY (token, origin_digest, tier)
);
CREATE INDEX charges_by_day ON charges (day);
CREATE INDEX charges_of_token ON charges (token, day);
CREATE TABLE holds (
    token VARCHAR NOT NULL, origin_digest VARCHAR(32) NOT NULL, tier VARCHAR NOT NULL, operation VARCHAR NOT NULL,
    credits BIGINT NOT NULL, origin_host VARCHAR NOT NULL, job VARCHAR NOT NULL, held_at FLOAT NOT NULL,
    PRIMARY KEY (token, origin_digest, tier)
);
CREATE INDEX ix_holds_job ON holds (job);
CREATE TABLE uploads (
    name VARCHAR NOT NULL, place VARCHAR NOT NULL, client VARCHAR NOT NULL, token VARCHAR NOT NULL,
    secret_hash VARCHAR NOT NULL, digest VARCHAR(32) NOT NULL, shared BOOLEAN NOT NULL, size_bytes BIGINT NOT NULL,
    created_at FLOAT NOT NULL, expires_at FLOAT NOT NULL, PRIMARY KEY (name)
);
CREATE INDEX ix_uploads_digest ON uploads (digest);
CREATE INDEX ix_uploads_expires_at ON uploads (expires_at);
CREATE INDEX uploads_by_client ON uploads (place, client);
"""
"""The tables of charges, as 71dfd91 made them in SQLite and in PostgreSQL."""

QUEUE = {
    1: _JOBS + _WORKERS.format(recipes="recipe_id") + "PRAGMA user_version = 1;",
    2: _JOBS + _WORKERS.format(recipes="recipes") + "PRAGMA user_version = 2;",
    3: _JOBS + _WORKERS.format(recipes="recipes") + _OUTBOX + "PRAGMA user_version = 3;",
}
"""The queue file, by its schema."""

Rows = Mapping[str, Iterable[Mapping[str, Any]]]


def digest(number: int) -> str:
    """32 hex digits."""
    return f"{number:032x}"


def job(number: int, *, page: int = 0, recipe: str = "small-1.int8.standard", **columns: object) -> dict[str, Any]:
    """A row of jobs."""
    key = f"{digest(number)}.{page}.{recipe}"
    what = {"key": key, "origin_digest": digest(number), "page": page, "recipe_id": recipe}
    return what | {"priority": 0} | columns


def charge(number: int, *, token: str = "shop", credits: int = 200, day: str = "2026-11-25") -> dict[str, Any]:
    """A row of charges."""
    return {
        "token": token,
        "origin_digest": digest(number),
        "tier": "standard",
        "operation": "removal",
        "credits": credits,
        "origin_host": "pictures.example",
        "day": day,
        "charged_at": 1_795_600_000.5 + number,
    }


def hold(number: int, key: str, *, token: str = "shop") -> dict[str, Any]:
    """A row of holds."""
    row = charge(number, token=token)
    return {name: row[name] for name in row if name not in ("day", "charged_at")} | {"job": key, "held_at": 1000.0}


def upload(number: int) -> dict[str, Any]:
    """A row of uploads."""
    return {
        "name": f"{number}.png",
        "place": "place",
        "client": "client",
        "token": "default",
        "secret_hash": "hash",
        "digest": digest(number),
        "shared": number % 2,
        "size_bytes": 10_000_000_000,
        "created_at": 1.5,
        "expires_at": 2.5,
    }


def delivery(number: int) -> dict[str, Any]:
    """A row of deliveries."""
    return {
        "id": f"msg_{number}",
        "kind": "webhook",
        "receiver": "https://hooks.example",
        "url": "https://hooks.example/secret",
        "body": '{"type":"cutout.ready"}',
        "attempts": number,
        "due_at": 5.5 + number,
        "claimed_until": 7.5,
        "created_at": 4.5,
    }


def write_queue(path: Path, rows: Rows | None = None, *, schema: int = 3, ledger: bool = True) -> None:
    """Make the queue file, with the rows of its tables; in WAL mode, as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN; {QUEUE[schema]} {LEDGER if ledger else ''} COMMIT;")
        insert(db, rows or {})


def insert(db: sqlite3.Connection, rows: Rows) -> None:
    """Insert rows, by their tables."""
    db.execute("BEGIN")
    for table, each in rows.items():
        for row in each:
            marks = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    db.execute("COMMIT")


def write_told(path: Path, *told: tuple[str, float]) -> None:
    """Write a file of invalidations: record keys and moments."""
    path.write_text("".join(json.dumps({"record_key": key, "at": at}) + "\n" for key, at in told), encoding="utf-8")
