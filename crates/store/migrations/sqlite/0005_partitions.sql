-- What PostgreSQL divides by day, SQLite finds by instant: retention deletes a
-- few rows at a time, by account or endpoint.

-- The event's.
ALTER TABLE plans ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;
UPDATE plans SET accepted_at = COALESCE(
    (SELECT accepted_at FROM events WHERE events.id = plans.event_id), planned_at);
ALTER TABLE not_sent ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;
UPDATE not_sent SET accepted_at = COALESCE(
    (SELECT accepted_at FROM plans WHERE plans.event_id = not_sent.event_id), 0);
DROP INDEX not_sent_by_endpoint;
CREATE INDEX not_sent_by_endpoint ON not_sent (endpoint_id, accepted_at);

CREATE INDEX events_by_type ON events (account, event_type, accepted_at, id);
CREATE INDEX events_by_trace ON events (trace_id, accepted_at, id);

-- Which events have a tag.
CREATE TABLE event_tags (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    event_type TEXT NOT NULL,
    PRIMARY KEY (account, name, value, accepted_at, event_id)
) WITHOUT ROWID;
INSERT INTO event_tags SELECT account, tag.key, tag.value, accepted_at, events.id, event_type
FROM events CROSS JOIN json_each(events.tags) AS tag;

-- What else is kept of an event goes with it.
CREATE TRIGGER events_forgotten AFTER DELETE ON events BEGIN
    DELETE FROM event_tags WHERE (account, name, value, accepted_at, event_id) IN
        (SELECT OLD.account, tag.key, tag.value, OLD.accepted_at, OLD.id FROM json_each(OLD.tags) AS tag);
    DELETE FROM plans WHERE event_id = OLD.id;
END;

CREATE INDEX deliveries_by_id ON deliveries (id);
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, accepted_at) WHERE state = 'pending';

DROP INDEX attempts_by_event;
CREATE INDEX attempts_by_type ON attempts (endpoint_id, event_type, started_at, id);
CREATE INDEX attempts_by_event ON attempts (event_id, started_at, id);
CREATE INDEX attempts_by_trace ON attempts (trace_id, started_at, id);
-- Failures are few, and what is looked for.
CREATE INDEX attempts_failed_by_endpoint ON attempts (endpoint_id, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_account ON attempts (account, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_class ON attempts (account, failure_class, started_at, id) WHERE succeeded = FALSE;
CREATE INDEX attempts_failed_by_status ON attempts (account, response_status, started_at, id) WHERE succeeded = FALSE;

CREATE INDEX delivery_counts_by_hour ON delivery_counts (hour);
