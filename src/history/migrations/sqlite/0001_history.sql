-- Times are milliseconds since 1970, but for a change's id, which is microseconds.

CREATE TABLE vitalsign_instances (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    -- Every run that ended before is in the roll-ups.
    rolled_up_to INTEGER NOT NULL,
    status TEXT,
    since INTEGER,
    UNIQUE (service, instance)
);

CREATE TABLE vitalsign_checks (
    id INTEGER PRIMARY KEY,
    instance_id INTEGER NOT NULL REFERENCES vitalsign_instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    status TEXT,
    since INTEGER,
    -- A day on which it was part of the plan.
    seen INTEGER NOT NULL,
    UNIQUE (instance_id, name)
);

-- By time first: what is written or pruned together lies together.
CREATE TABLE vitalsign_rollups (
    instance_id INTEGER NOT NULL,
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    check_id INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    good INTEGER NOT NULL,
    slo_good INTEGER NOT NULL,
    slo_counted INTEGER NOT NULL,
    max_micros INTEGER NOT NULL,
    worst INTEGER,
    sketch BLOB NOT NULL,
    PRIMARY KEY (instance_id, width, start, check_id)
) WITHOUT ROWID;

CREATE TABLE vitalsign_runs (
    instance_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (instance_id, at, shard)
) WITHOUT ROWID;

CREATE TABLE vitalsign_changes (
    instance_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    check_id INTEGER NOT NULL REFERENCES vitalsign_checks (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    trace_id TEXT,
    PRIMARY KEY (instance_id, id)
) WITHOUT ROWID;

CREATE INDEX vitalsign_changes_of_check ON vitalsign_changes (check_id);

CREATE TABLE vitalsign_incidents (
    instance_id INTEGER NOT NULL,
    -- That of the change that began it.
    id INTEGER NOT NULL,
    check_id INTEGER NOT NULL REFERENCES vitalsign_checks (id) ON DELETE CASCADE,
    started INTEGER NOT NULL,
    ended INTEGER,
    worst TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    trace_id TEXT,
    PRIMARY KEY (instance_id, id)
) WITHOUT ROWID;

CREATE INDEX vitalsign_incidents_by_start ON vitalsign_incidents (instance_id, started, id);
CREATE INDEX vitalsign_incidents_of_check ON vitalsign_incidents (check_id, started, id);
