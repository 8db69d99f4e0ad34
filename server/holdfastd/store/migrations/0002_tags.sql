-- Schema 2: tags of jobs, and workers that are quiet.

CREATE TABLE tag (
    -- One row per tag of a job, to find jobs by it; they stand in the job's options as well.
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_by_seq ON tag (seq);   -- they are removed with their job

ALTER TABLE session ADD COLUMN is_quiet INTEGER NOT NULL DEFAULT 0;
