ALTER TABLE quarantine ADD COLUMN has_previous boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN quarantine.has_previous IS 'Whether the target keeps the row that the key had before.';
COMMENT ON TABLE quarantine IS 'Rows of the source that the target cannot hold; it has no row of their keys, unless it keeps the previous one.';
