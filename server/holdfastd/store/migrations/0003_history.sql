-- Schema 3: what happened in each minute and hour, for charts. See holdfastd.engine.history.

CREATE TABLE history (
    step_ms INTEGER NOT NULL,       -- 60000 or 3600000
    queue TEXT NOT NULL,            -- '' = of all
    name TEXT NOT NULL,             -- '' = of all
    at_ms INTEGER NOT NULL,         -- when it began
    part INTEGER NOT NULL,          -- several are added up
    added INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    wait BLOB NOT NULL,             -- msgpack: bucket, jobs, bucket, jobs, ...
    run BLOB NOT NULL,
    PRIMARY KEY (step_ms, queue, name, at_ms, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_by_time ON history (step_ms, at_ms);
