CREATE TABLE fills (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    table_id text NOT NULL,
    version bigint NOT NULL,
    digest bytea,
    instant timestamptz NOT NULL,
    key text[] NOT NULL,
    fingerprint text NOT NULL,
    pieces bigint NOT NULL,
    pieces_digest bytea NOT NULL,
    reserved_oid oid NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (octet_length(digest) = 32),
    CHECK (octet_length(pieces_digest) = 32)
);
COMMENT ON TABLE fills IS 'First fills that were begun and have not ended, with what they were planned for; the columns are those of progress.';
COMMENT ON COLUMN fills.pieces IS 'Into how many pieces the source is cut.';
COMMENT ON COLUMN fills.pieces_digest IS 'SHA-256 of the ordered list of pieces.';
COMMENT ON COLUMN fills.reserved_oid IS 'The table that the rows are loaded into; it gets the target''s name once it is whole.';

CREATE TABLE fill_pieces (
    job_id uuid NOT NULL REFERENCES fills ON DELETE CASCADE,
    piece bigint NOT NULL,
    rows bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, piece)
);
COMMENT ON TABLE fill_pieces IS 'The pieces of unfinished fills that are loaded, each written in the transaction of its rows.';
