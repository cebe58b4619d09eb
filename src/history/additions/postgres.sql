-- Tables that were added after the schema's number was last raised.

-- Why runs failed, for each minute and hour in which some did: `timeout 3,other 1`.
CREATE TABLE IF NOT EXISTS vitalsign_reasons (
    instance_id BIGINT NOT NULL,
    check_id BIGINT NOT NULL,
    width BIGINT NOT NULL,
    start BIGINT NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (instance_id, check_id, width, start)
);

CREATE INDEX IF NOT EXISTS vitalsign_reasons_by_start
    ON vitalsign_reasons (instance_id, width, start);

-- What heartbeat checks heard last, as they write it.
CREATE TABLE IF NOT EXISTS vitalsign_heartbeats (
    instance_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (instance_id, name)
);
