-- Schema 3: what the charts are made of.

CREATE TABLE history (
    -- What happened in a minute or an hour to the jobs of one name of a queue; see engine/history.py.
    step_ms INTEGER NOT NULL,       -- 60000 or 3600000
    at_ms INTEGER NOT NULL,         -- its beginning
    queue TEXT NOT NULL,            -- by name: history outlives its queue; '' = all queues
    name TEXT NOT NULL,             -- of the jobs; '' = all
    added INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    run_ms INTEGER NOT NULL,
    waits BLOB NOT NULL,            -- msgpack map: bucket -> how often
    runs BLOB NOT NULL,
    PRIMARY KEY (step_ms, at_ms, queue, name)
) STRICT, WITHOUT ROWID;
