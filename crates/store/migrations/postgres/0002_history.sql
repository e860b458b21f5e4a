-- Times are Unix milliseconds, ids the bytes of their UUIDs.

CREATE TABLE events (
    id UUID PRIMARY KEY,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    live_mode BOOLEAN NOT NULL,
    -- For one endpoint only.
    test BOOLEAN NOT NULL,
    -- JSON: an object of texts.
    tags TEXT NOT NULL,
    body BYTEA NOT NULL,
    trace_id TEXT NOT NULL
);
CREATE INDEX events_by_account ON events (account, accepted_at, id);

-- Which events have been planned.
CREATE TABLE plans (
    event_id UUID PRIMARY KEY,
    planned_at BIGINT NOT NULL
);

CREATE TABLE not_sent (
    event_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (event_id, endpoint_id)
);
CREATE INDEX not_sent_by_endpoint ON not_sent (endpoint_id);

-- Endpoints as history knows them; the row of a deleted one stays, so that
-- nothing of it is recorded again. Every writer locks the rows it writes about.
CREATE TABLE history_endpoints (
    id UUID PRIMARY KEY,
    account TEXT NOT NULL,
    -- Deliveries of a lower generation are cancelled.
    generation BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    -- Of the last attempt that is no test's; NULL: none yet.
    last_attempt_at BIGINT,
    last_failure TEXT,
    failing_since BIGINT
);

CREATE TABLE deliveries (
    id UUID PRIMARY KEY,
    event_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    generation BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- The highest number of an attempt.
    last_number BIGINT NOT NULL,
    next_attempt_at BIGINT
);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, accepted_at);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id) WHERE state = 'pending';

CREATE TABLE attempts (
    id UUID PRIMARY KEY,
    delivery_id UUID NOT NULL,
    event_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    number BIGINT NOT NULL,
    succeeded BOOLEAN NOT NULL,
    response_status BIGINT,
    failure_class TEXT NOT NULL,
    failure_message TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    url TEXT NOT NULL,
    -- JSON: an object of texts.
    request_headers TEXT NOT NULL,
    response_headers TEXT NOT NULL,
    response_body BYTEA NOT NULL,
    response_truncated BOOLEAN NOT NULL,
    next_attempt_at BIGINT,
    trace_id TEXT NOT NULL
);
CREATE INDEX attempts_by_endpoint ON attempts (endpoint_id, started_at, id);
CREATE INDEX attempts_by_account ON attempts (account, started_at, id);
CREATE INDEX attempts_by_event ON attempts (event_id);

-- Deliveries but tests, counted by the hour their event was accepted in.
CREATE TABLE delivery_counts (
    endpoint_id UUID NOT NULL,
    -- Unix hours.
    hour BIGINT NOT NULL,
    total BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    retrying BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
);

-- What the tables refused, kept to be looked at.
CREATE TABLE quarantine (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    error TEXT NOT NULL,
    at BIGINT NOT NULL
);
