-- Schema 3 of the queue file (PRAGMA user_version). A row of jobs exists only while work is owed or a failure is remembered.
--
--   (none)  -> waiting   submit
--   waiting -> running   claim: attempts + 1
--   running -> (none)    done, moot
--   running -> waiting   failed attempt (with back-off), lost owner or lease; postponed, released by a leaving worker
--                        (attempts - 1)
--   running -> failed    refused, attempts used up
--   failed  -> waiting   submit after due_at

CREATE TABLE jobs (
    turn          INTEGER PRIMARY KEY,         -- order of submission: SQLite gives a new row the highest turn so far + 1
    key           TEXT    NOT NULL UNIQUE,     -- one row per key: a job is owed once
    origin_digest TEXT    NOT NULL,
    page          INTEGER NOT NULL,
    recipe_id     TEXT    NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'failed')),
    priority      INTEGER NOT NULL,            -- higher runs first
    attempts      INTEGER NOT NULL DEFAULT 0,  -- counted at the claim, so that killing the worker uses one up
    due_at        REAL    NOT NULL DEFAULT 0,  -- waiting: may run from here on; running: end of the lease; failed: may be
                                               -- submitted again (seconds since the epoch)
    owner         TEXT,                        -- the worker that runs it
    failures      INTEGER NOT NULL DEFAULT 0,  -- times in a row it failed for good; doubles the time it is left alone
    reason        TEXT,                        -- why it failed for good, a short token
    error         TEXT,                        -- class name of the last exception
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK (state <> 'failed' OR reason IS NOT NULL)
);

-- The next job is the first waiting row of this index; depth and rank are counted along it.
CREATE INDEX jobs_in_order ON jobs (state, priority DESC, turn);

-- What workers say of themselves. Whether they are alive, their lock files say.
CREATE TABLE workers (
    worker_id TEXT    PRIMARY KEY,
    pid       INTEGER NOT NULL,
    model     TEXT    NOT NULL,
    device    TEXT    NOT NULL,
    precision TEXT    NOT NULL,
    recipes   TEXT    NOT NULL,                -- takes jobs of these recipes only, a JSON list; [] = of any
    seen_at   REAL    NOT NULL
) WITHOUT ROWID;

-- One row.
CREATE TABLE pace (
    job_s      REAL NOT NULL,                  -- exponentially weighted mean time of a job, 0 before the first
    checked_at REAL NOT NULL                   -- written by the readiness check
);
INSERT INTO pace VALUES (0, 0);

-- Who is called when a job ends. Rows exist only while the job waits or runs.
CREATE TABLE listeners (
    key   TEXT NOT NULL,                       -- of the job
    url   TEXT NOT NULL,                       -- whom to call: once for a job, however often it was submitted
    image TEXT NOT NULL,                       -- path and query of the picture that was asked for
    PRIMARY KEY (key, url)
) WITHOUT ROWID;

-- What is to be told to the outside. A row exists until somebody took it or attempts are used up.
CREATE TABLE deliveries (
    turn          INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,     -- the receiver knows a double by it
    kind          TEXT    NOT NULL,            -- webhook, cdn
    receiver      TEXT    NOT NULL,            -- scheme and host of the URL, or the kind: who is spared when it hangs
    url           TEXT    NOT NULL,            -- '' for cdn
    body          TEXT    NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,  -- those that failed
    due_at        REAL    NOT NULL,            -- may be sent from here on (seconds since the epoch)
    claimed_until REAL    NOT NULL DEFAULT 0,  -- a process is sending it until here at the latest
    created_at    REAL    NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (receiver, due_at);
CREATE INDEX deliveries_under_way ON deliveries (receiver, claimed_until);

PRAGMA user_version = 3;
