ALTER TABLE leases ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN leases.expires_at IS 'Its holder renews it while it works; after this moment another one may end that backend and take the lease. NULL: never.';
COMMENT ON TABLE leases IS 'Who writes a job''s target now; valid as long as that backend lives and the lease is renewed.';
