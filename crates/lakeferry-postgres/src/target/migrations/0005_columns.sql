ALTER TABLE progress ADD COLUMN columns text;
COMMENT ON COLUMN progress.columns IS 'What the target was made from at the last apply, as JSON: of each column its name, its identity and type in the source, and whether it is synced, left out or detached; and the greatest number that the source gave to one.';

ALTER TABLE fills ADD COLUMN columns text;
COMMENT ON COLUMN fills.columns IS 'As in progress.';

COMMENT ON TABLE runs IS 'One row for each apply of staged rows (fill, refresh, changes or adopt), and for each alteration of a target (alter).';
