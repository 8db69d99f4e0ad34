-- Schema 4: schedules.

CREATE TABLE schedule (
    queue INTEGER NOT NULL,         -- key of its queue
    id TEXT NOT NULL,
    spec BLOB NOT NULL,             -- msgpack: when, and what job; see store/codec.py
    checksum INTEGER NOT NULL,      -- CRC-32 of queue, id, spec
    is_paused INTEGER NOT NULL,
    anchor_ms INTEGER NOT NULL,     -- where an interval is counted from
    next_at_ms INTEGER,             -- the first instant that has not been dealt with
    last_due_at_ms INTEGER,         -- the last one that made a job
    last_job_id TEXT,
    fired INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT;
