-- Recording costs what its rows weigh in b-trees. A delivery is always asked
-- for with its event, whose id grows with time: so keyed, new rows stand side
-- by side, and an event's deliveries need no index of their own.

CREATE TABLE deliveries_by_their_event (
    id BLOB NOT NULL,
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
    next_attempt_at INTEGER,
    PRIMARY KEY (event_id, id)
) WITHOUT ROWID;
INSERT INTO deliveries_by_their_event
SELECT id, event_id, endpoint_id, account, event_type, cause, state, reason, generation,
    accepted_at, attempts, last_number, next_attempt_at FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_by_their_event RENAME TO deliveries;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, accepted_at);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id) WHERE state = 'pending';

-- Small rows need no row number beside their key.
CREATE TABLE plans_by_event (
    event_id BLOB PRIMARY KEY NOT NULL,
    planned_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO plans_by_event SELECT event_id, planned_at FROM plans;
DROP TABLE plans;
ALTER TABLE plans_by_event RENAME TO plans;

CREATE TABLE not_sent_by_event (
    event_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (event_id, endpoint_id)
) WITHOUT ROWID;
INSERT INTO not_sent_by_event SELECT event_id, endpoint_id, reason FROM not_sent;
DROP TABLE not_sent;
ALTER TABLE not_sent_by_event RENAME TO not_sent;
CREATE INDEX not_sent_by_endpoint ON not_sent (endpoint_id);

CREATE TABLE delivery_counts_by_endpoint (
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
) WITHOUT ROWID;
INSERT INTO delivery_counts_by_endpoint
SELECT endpoint_id, hour, total, succeeded, failed, cancelled, pending, retrying
FROM delivery_counts;
DROP TABLE delivery_counts;
ALTER TABLE delivery_counts_by_endpoint RENAME TO delivery_counts;

-- Failed attempts in a row, since failing_since.
ALTER TABLE history_endpoints ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
-- Deliveries but tests that wait although they are due, and what for.
ALTER TABLE history_endpoints ADD COLUMN throttled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history_endpoints ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
-- When the last one that was told of is expected to be made.
ALTER TABLE history_endpoints ADD COLUMN paused_until INTEGER;
-- The attempt that ended the last long failure, and since when that lasted.
ALTER TABLE history_endpoints ADD COLUMN recovered_by BLOB;
ALTER TABLE history_endpoints ADD COLUMN recovered_since INTEGER;
