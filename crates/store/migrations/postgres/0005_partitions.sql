-- Retention drops tables instead of deleting rows: what grows is divided into
-- a table per day (UTC) of the instant that each row carries anyway, so that a
-- repeat meets the row it repeats. That instant is part of every key.

ALTER TABLE events RENAME TO old_events;
ALTER TABLE plans RENAME TO old_plans;
ALTER TABLE not_sent RENAME TO old_not_sent;
ALTER TABLE deliveries RENAME TO old_deliveries;
ALTER TABLE attempts RENAME TO old_attempts;
ALTER TABLE old_events DROP CONSTRAINT events_pkey;
ALTER TABLE old_plans DROP CONSTRAINT plans_pkey;
ALTER TABLE old_not_sent DROP CONSTRAINT not_sent_pkey;
ALTER TABLE old_attempts DROP CONSTRAINT attempts_pkey;
ALTER TABLE old_deliveries DROP CONSTRAINT deliveries_pkey;
DROP INDEX events_by_account, not_sent_by_endpoint, deliveries_by_endpoint, deliveries_pending,
    attempts_by_endpoint, attempts_by_account, attempts_by_event;

CREATE TABLE events (
    id UUID NOT NULL,
    account TEXT NOT NULL,
    event_type TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    live_mode BOOLEAN NOT NULL,
    -- For one endpoint only.
    test BOOLEAN NOT NULL,
    -- JSON: an object of texts.
    tags TEXT NOT NULL,
    body BYTEA NOT NULL,
    trace_id TEXT NOT NULL,
    PRIMARY KEY (id, accepted_at)
) PARTITION BY RANGE (accepted_at);
CREATE INDEX events_by_account ON events (account, accepted_at, id);
CREATE INDEX events_by_type ON events (account, event_type, accepted_at, id);
CREATE INDEX events_by_trace ON events (trace_id, accepted_at, id);

-- Which events have a tag.
CREATE TABLE event_tags (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    event_id UUID NOT NULL,
    event_type TEXT NOT NULL,
    PRIMARY KEY (account, name, value, accepted_at, event_id)
) PARTITION BY RANGE (accepted_at);

-- Which events have been planned.
CREATE TABLE plans (
    event_id UUID NOT NULL,
    planned_at BIGINT NOT NULL,
    -- The event's.
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (event_id, accepted_at)
) PARTITION BY RANGE (accepted_at);

CREATE TABLE not_sent (
    event_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    reason TEXT NOT NULL,
    -- The event's.
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (event_id, endpoint_id, accepted_at)
) PARTITION BY RANGE (accepted_at);
CREATE INDEX not_sent_by_endpoint ON not_sent (endpoint_id, accepted_at);

CREATE TABLE deliveries (
    id UUID NOT NULL,
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
    next_attempt_at BIGINT,
    PRIMARY KEY (event_id, id, accepted_at)
) PARTITION BY RANGE (accepted_at);
CREATE INDEX deliveries_by_id ON deliveries (id);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, accepted_at);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, accepted_at) WHERE state = 'pending';

CREATE TABLE attempts (
    id UUID NOT NULL,
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
    trace_id TEXT NOT NULL,
    PRIMARY KEY (id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX attempts_by_endpoint ON attempts (endpoint_id, started_at, id);
CREATE INDEX attempts_by_account ON attempts (account, started_at, id);
CREATE INDEX attempts_by_type ON attempts (endpoint_id, event_type, started_at, id);
CREATE INDEX attempts_by_event ON attempts (event_id, started_at, id);
CREATE INDEX attempts_by_trace ON attempts (trace_id, started_at, id);
-- Failures are few, and what is looked for.
CREATE INDEX attempts_failed_by_endpoint ON attempts (endpoint_id, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_account ON attempts (account, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_class ON attempts (account, failure_class, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_status ON attempts (account, response_status, started_at, id) WHERE succeeded = FALSE;

-- What else is kept of an event goes with it.
CREATE FUNCTION forget_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM event_tags USING jsonb_each_text(OLD.tags::jsonb) AS tag
    WHERE event_tags.account = OLD.account AND name = tag.key AND event_tags.value = tag.value
        AND accepted_at = OLD.accepted_at AND event_id = OLD.id;
    DELETE FROM plans WHERE event_id = OLD.id AND accepted_at = OLD.accepted_at;
    RETURN OLD;
END $$;
CREATE TRIGGER events_forgotten AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION forget_event();

-- The table of a day, where it is missing. Attached instead of made as a part,
-- which would lock out whoever uses the table. Writers that miss one may all
-- make it at once.
CREATE FUNCTION make_day(divided TEXT, day BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    part TEXT := divided || '_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
    first BIGINT := day * 86400000;
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('postrider.' || divided));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, divided);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        divided, part, first, first + 86400000);
END $$;

SELECT make_day('events', day), make_day('event_tags', day)
FROM (SELECT DISTINCT accepted_at / 86400000 AS day FROM old_events) AS days;
SELECT make_day('plans', day)
FROM (SELECT DISTINCT COALESCE(e.accepted_at, p.planned_at) / 86400000 AS day
    FROM old_plans AS p LEFT JOIN old_events AS e ON e.id = p.event_id) AS days;
SELECT make_day('not_sent', day)
FROM (SELECT DISTINCT COALESCE(e.accepted_at, p.planned_at, 0) / 86400000 AS day
    FROM old_not_sent AS n LEFT JOIN old_events AS e ON e.id = n.event_id
    LEFT JOIN old_plans AS p ON p.event_id = n.event_id) AS days;
SELECT make_day('deliveries', day)
FROM (SELECT DISTINCT accepted_at / 86400000 AS day FROM old_deliveries) AS days;
SELECT make_day('attempts', day)
FROM (SELECT DISTINCT started_at / 86400000 AS day FROM old_attempts) AS days;

INSERT INTO events SELECT id, account, event_type, accepted_at, live_mode, test, tags, body, trace_id
FROM old_events;
INSERT INTO event_tags SELECT account, tag.key, tag.value, accepted_at, id, event_type
FROM old_events CROSS JOIN LATERAL jsonb_each_text(tags::jsonb) AS tag;
INSERT INTO plans SELECT p.event_id, p.planned_at, COALESCE(e.accepted_at, p.planned_at)
FROM old_plans AS p LEFT JOIN old_events AS e ON e.id = p.event_id;
INSERT INTO not_sent SELECT n.event_id, n.endpoint_id, n.reason, COALESCE(e.accepted_at, p.planned_at, 0)
FROM old_not_sent AS n LEFT JOIN old_events AS e ON e.id = n.event_id
LEFT JOIN old_plans AS p ON p.event_id = n.event_id;
INSERT INTO deliveries SELECT id, event_id, endpoint_id, account, event_type, cause, state, reason,
    generation, accepted_at, attempts, last_number, next_attempt_at FROM old_deliveries;
INSERT INTO attempts SELECT id, delivery_id, event_id, endpoint_id, account, event_type, number,
    succeeded, response_status, failure_class, failure_message, started_at, duration_ms, url,
    request_headers, response_headers, response_body, response_truncated, next_attempt_at, trace_id
FROM old_attempts;
DROP TABLE old_events, old_plans, old_not_sent, old_deliveries, old_attempts;

CREATE INDEX delivery_counts_by_hour ON delivery_counts (hour);
