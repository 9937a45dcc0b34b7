CREATE TABLE jobs (
    job_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    deployment text NOT NULL,
    name text NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    target_oid oid,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (deployment, name),
    UNIQUE (target_schema, target_table)
);
COMMENT ON TABLE jobs IS 'Every job that ever claimed a table of this database.';
COMMENT ON COLUMN jobs.target_oid IS 'The table that the job filled; another one of the same name is not touched.';

CREATE TABLE progress (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    epoch bigint NOT NULL DEFAULT 0,
    table_id text,
    version bigint,
    digest bytea,
    instant timestamptz,
    key text[],
    fingerprint text,
    updated_at timestamptz,
    CHECK (num_nulls(table_id, version, instant, key, fingerprint, updated_at) IN (0, 6)),
    CHECK (octet_length(digest) = 32)
);
COMMENT ON TABLE progress IS 'What each target has: the watermark, moved in the transaction that moves the rows. Before the first one all but the epoch is NULL.';
COMMENT ON COLUMN progress.epoch IS 'The number of the newest claim; a write under an older one changes nothing.';
COMMENT ON COLUMN progress.table_id IS 'The identity of the source table.';
COMMENT ON COLUMN progress.version IS 'The commit version of the source that the target has.';
COMMENT ON COLUMN progress.digest IS 'SHA-256 of the file that committed the version; NULL if it was cleaned away.';
COMMENT ON COLUMN progress.instant IS 'The moment at which time in the filter was evaluated.';
COMMENT ON COLUMN progress.key IS 'The key columns at the last apply.';
COMMENT ON COLUMN progress.fingerprint IS 'Digest of filter, columns, types, time zone and encoding at the last apply.';

CREATE TABLE leases (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    backend_pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE leases IS 'Who writes a job''s target now; valid as long as that backend lives.';

CREATE TABLE runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    from_version bigint,
    through_version bigint NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    deleted bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON runs (job_id, run_id);
COMMENT ON TABLE runs IS 'One row for each apply of staged rows: fill, refresh, changes or adopt.';
COMMENT ON COLUMN runs.from_version IS 'The commit version that the target had before; NULL at the first.';
