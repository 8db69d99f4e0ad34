-- Schema 1. Numbers of states and outcomes are those of holdfastd.engine.model.
-- To change the schema: add 0002_….sql; never edit a migration that was released.

CREATE TABLE part (
    -- One row: the partition's place in time.
    epoch INTEGER NOT NULL,         -- raised by every open
    batch INTEGER NOT NULL,         -- number of the last batch applied
    next_seq INTEGER NOT NULL,
    next_queue INTEGER NOT NULL,
    next_session INTEGER NOT NULL
) STRICT;
INSERT INTO part VALUES (0, 0, 1, 1, 1);

CREATE TABLE queue (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    is_paused INTEGER NOT NULL,
    settings BLOB,                  -- msgpack, NULL = the defaults
    rate_full_at_ms INTEGER NOT NULL,
    counts BLOB NOT NULL,           -- msgpack array: jobs by state
    clearing BLOB                   -- msgpack: a drain or obliterate under way, NULL = none
) STRICT;

CREATE TABLE session (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    last_request INTEGER NOT NULL,
    last_refused INTEGER NOT NULL,  -- of its ENQUEUEs
    seen_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    ord INTEGER NOT NULL,
    run_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    options BLOB,                   -- msgpack, NULL = the defaults
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    releases INTEGER NOT NULL,
    token INTEGER NOT NULL,
    session INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER NOT NULL,
    fail_reason INTEGER NOT NULL,
    log_lines INTEGER NOT NULL,
    checksum INTEGER NOT NULL,      -- CRC-32 of queue, id, name, created_at_ms, payload
    progress BLOB,
    result BLOB,
    payload BLOB NOT NULL
) STRICT;
-- Not unique: that ids are, is the engine's rule (see NewJob.is_generated).
CREATE INDEX job_by_id ON job (queue, id);
CREATE INDEX job_waiting ON job (queue, priority, ord) WHERE state = 1;
CREATE INDEX job_due ON job (run_at_ms, seq) WHERE state = 2;
CREATE INDEX job_delayed ON job (queue, run_at_ms, seq) WHERE state = 2;
CREATE INDEX job_active ON job (token) WHERE state = 3;
CREATE INDEX job_finished ON job (queue, state, finished_at_ms, seq) WHERE state >= 5;

CREATE TABLE attempt (
    seq INTEGER NOT NULL,
    token INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    error_type TEXT NOT NULL,
    error_message TEXT NOT NULL,
    error_traceback TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (seq, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;
