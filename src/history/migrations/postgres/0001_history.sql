-- Times are milliseconds since 1970, but for a change's id, which is microseconds.

CREATE TABLE vitalsign_instances (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    -- Every run that ended before is in the roll-ups.
    rolled_up_to BIGINT NOT NULL,
    status TEXT,
    since BIGINT,
    UNIQUE (service, instance)
);

CREATE TABLE vitalsign_checks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id BIGINT NOT NULL REFERENCES vitalsign_instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    status TEXT,
    since BIGINT,
    -- A day on which it was part of the plan.
    seen BIGINT NOT NULL,
    UNIQUE (instance_id, name)
);

-- By time first: what is written or pruned together lies together.
CREATE TABLE vitalsign_rollups (
    instance_id BIGINT NOT NULL,
    width BIGINT NOT NULL,
    start BIGINT NOT NULL,
    check_id BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    good BIGINT NOT NULL,
    slo_good BIGINT NOT NULL,
    slo_counted BIGINT NOT NULL,
    max_micros BIGINT NOT NULL,
    worst BIGINT,
    sketch BYTEA NOT NULL,
    PRIMARY KEY (instance_id, width, start, check_id)
);

CREATE TABLE vitalsign_runs (
    instance_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    shard BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (instance_id, at, shard)
);

CREATE TABLE vitalsign_changes (
    instance_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    check_id BIGINT NOT NULL REFERENCES vitalsign_checks (id) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    trace_id TEXT,
    PRIMARY KEY (instance_id, id)
);

CREATE INDEX vitalsign_changes_of_check ON vitalsign_changes (check_id);

CREATE TABLE vitalsign_incidents (
    instance_id BIGINT NOT NULL,
    -- That of the change that began it.
    id BIGINT NOT NULL,
    check_id BIGINT NOT NULL REFERENCES vitalsign_checks (id) ON DELETE CASCADE,
    started BIGINT NOT NULL,
    ended BIGINT,
    worst TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    trace_id TEXT,
    PRIMARY KEY (instance_id, id)
);

CREATE INDEX vitalsign_incidents_by_start ON vitalsign_incidents (instance_id, started, id);
CREATE INDEX vitalsign_incidents_of_check ON vitalsign_incidents (check_id, started, id);
