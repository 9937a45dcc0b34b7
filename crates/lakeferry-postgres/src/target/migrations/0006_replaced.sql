ALTER TABLE fill_pieces ADD COLUMN replaced bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN fill_pieces.replaced IS 'Values for which the nearest were written that the target can hold.';

ALTER TABLE runs ADD COLUMN replaced bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN runs.replaced IS 'Values for which the nearest were written that the target can hold.';
