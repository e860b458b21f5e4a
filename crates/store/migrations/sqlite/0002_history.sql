-- Times are Unix milliseconds, ids the bytes of their UUIDs.

CREATE TABLE events (
    id BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    live_mode BOOLEAN NOT NULL,
    -- For one endpoint only.
    test BOOLEAN NOT NULL,
    -- JSON: an object of texts.
    tags TEXT NOT NULL,
    body BLOB NOT NULL,
    trace_id TEXT NOT NULL
);
CREATE INDEX events_by_account ON events (account, accepted_at, id);

-- Which events have been planned.
CREATE TABLE plans (
    event_id BLOB PRIMARY KEY NOT NULL,
    planned_at INTEGER NOT NULL
);

CREATE TABLE not_sent (
    event_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (event_id, endpoint_id)
);
CREATE INDEX not_sent_by_endpoint ON not_sent (endpoint_id);

-- Endpoints as history knows them; the row of a deleted one stays, so that
-- nothing of it is recorded again. Every writer locks the rows it writes about.
CREATE TABLE history_endpoints (
    id BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    -- Deliveries of a lower generation are cancelled.
    generation INTEGER NOT NULL,
    deleted BOOLEAN NOT NULL,
    -- Of the last attempt that is no test's; NULL: none yet.
    last_attempt_at INTEGER,
    last_failure TEXT,
    failing_since INTEGER
);

CREATE TABLE deliveries (
    id BLOB PRIMARY KEY NOT NULL,
    event_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    generation INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    -- The highest number of an attempt.
    last_number INTEGER NOT NULL,
    next_attempt_at INTEGER
);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, accepted_at);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id) WHERE state = 'pending';

CREATE TABLE attempts (
    id BLOB PRIMARY KEY NOT NULL,
    delivery_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    number INTEGER NOT NULL,
    succeeded BOOLEAN NOT NULL,
    response_status INTEGER,
    failure_class TEXT NOT NULL,
    failure_message TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    url TEXT NOT NULL,
    -- JSON: an object of texts.
    request_headers TEXT NOT NULL,
    response_headers TEXT NOT NULL,
    response_body BLOB NOT NULL,
    response_truncated BOOLEAN NOT NULL,
    next_attempt_at INTEGER,
    trace_id TEXT NOT NULL
);
CREATE INDEX attempts_by_endpoint ON attempts (endpoint_id, started_at, id);
CREATE INDEX attempts_by_account ON attempts (account, started_at, id);
CREATE INDEX attempts_by_event ON attempts (event_id);

-- Deliveries but tests, counted by the hour their event was accepted in.
CREATE TABLE delivery_counts (
    endpoint_id BLOB NOT NULL,
    -- Unix hours.
    hour INTEGER NOT NULL,
    total INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    retrying INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
);

-- What the tables refused, kept to be looked at.
CREATE TABLE quarantine (
    id BLOB PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL
);
