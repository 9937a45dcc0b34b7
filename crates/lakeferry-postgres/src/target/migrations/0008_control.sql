CREATE TABLE pauses (
    deployment text NOT NULL DEFAULT 'default',
    job text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_by text NOT NULL DEFAULT session_user,
    reason text,
    PRIMARY KEY (deployment, job)
);
COMMENT ON TABLE pauses IS 'Jobs that are not to run. INSERT INTO pauses (job, reason) pauses one of the deployment default; DELETE lets it run again.';

CREATE TABLE requests (
    request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment text NOT NULL DEFAULT 'default',
    job text NOT NULL,
    kind text NOT NULL DEFAULT 'sync'
        CHECK (kind IN ('sync', 'backfill', 'adopt', 'refresh_schema', 'retry', 'reset', 'forget')),
    accept_deletes boolean NOT NULL DEFAULT false,
    even_if_paused boolean NOT NULL DEFAULT false,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL DEFAULT session_user,
    taken_at timestamptz,
    taken_by text,
    ended_at timestamptz,
    error text,
    version bigint,
    inserted bigint,
    updated bigint,
    deleted bigint
);
CREATE INDEX ON requests (deployment, job) WHERE ended_at IS NULL;
COMMENT ON TABLE requests IS 'What daemons are asked to do besides their schedules. INSERT INTO requests (job) asks for a sync; whoever runs the job looks here after each run, and as often as control_poll says.';
COMMENT ON COLUMN requests.kind IS 'sync, backfill, adopt, refresh_schema, retry (of the quarantine), reset, or forget (a reset that also forgets what the target has).';
COMMENT ON COLUMN requests.accept_deletes IS 'Lets the run delete as much as the source lost.';
COMMENT ON COLUMN requests.taken_by IS 'Who does it. Where that one went away, another one takes it.';
COMMENT ON COLUMN requests.error IS 'Why it was not done; NULL if it was.';
COMMENT ON COLUMN requests.version IS 'The version that the target had then.';
