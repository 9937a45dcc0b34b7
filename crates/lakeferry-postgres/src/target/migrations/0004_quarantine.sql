CREATE TABLE quarantine (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    digest bytea NOT NULL,
    key json NOT NULL,
    rows bigint NOT NULL,
    column_name text NOT NULL,
    reason text NOT NULL,
    payload json,
    version bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at timestamptz,
    PRIMARY KEY (job_id, digest),
    CHECK (octet_length(digest) = 32)
);
COMMENT ON TABLE quarantine IS 'Rows of the source that the target cannot hold; their keys have no row in the target.';
COMMENT ON COLUMN quarantine.digest IS 'SHA-256 of the key as it stands in its column.';
COMMENT ON COLUMN quarantine.key IS 'The values of the key columns, in the order of the key; of a job without a key the whole row; null where they are longer than a megabyte.';
COMMENT ON COLUMN quarantine.rows IS 'How often the row is there: more than once only without a key.';
COMMENT ON COLUMN quarantine.payload IS 'The row; absent where it is longer than a megabyte, or was dropped.';
COMMENT ON COLUMN quarantine.version IS 'The version of the source that brought it.';
COMMENT ON COLUMN quarantine.dropped_at IS 'When somebody gave it up: it counts no more.';

ALTER TABLE fill_pieces ADD COLUMN nulled bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN fill_pieces.nulled IS 'Values that were written as NULL, for the target cannot hold them.';

ALTER TABLE runs
    ADD COLUMN quarantined bigint NOT NULL DEFAULT 0,
    ADD COLUMN released bigint NOT NULL DEFAULT 0,
    ADD COLUMN nulled bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN runs.quarantined IS 'Rows that came into quarantine.';
COMMENT ON COLUMN runs.released IS 'Rows that left it.';
COMMENT ON COLUMN runs.nulled IS 'Values that were written as NULL, for the target cannot hold them.';
