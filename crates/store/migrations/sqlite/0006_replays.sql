-- Spans of events that are sent to an endpoint again. Times are Unix
-- milliseconds, ids the bytes of their UUIDs.

CREATE TABLE replays (
    id BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    endpoint_id BLOB NOT NULL,
    -- failed or all.
    status TEXT NOT NULL,
    -- Separated by spaces, which no name contains; empty: every one.
    event_types TEXT NOT NULL,
    after_at INTEGER NOT NULL,
    before_at INTEGER NOT NULL,
    -- dry_run, running, done or cancelled.
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- NULL: something is to be sent, or under way.
    ended_at INTEGER,
    -- Events.
    matched INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    -- The last event that was dealt with; all before it are.
    cursor_at INTEGER NOT NULL,
    cursor_event BLOB NOT NULL,
    -- Whoever works on it, and until when nobody else does.
    claimed_by BLOB NOT NULL,
    claimed_until INTEGER NOT NULL
);
CREATE INDEX replays_open ON replays (id) WHERE ended_at IS NULL;

-- What an open replay waits for.
CREATE TABLE replay_deliveries (
    replay_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    delivery_id BLOB NOT NULL,
    -- The event's.
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (replay_id, event_id)
) WITHOUT ROWID;

-- What a replay of failures reads, in its order.
CREATE INDEX deliveries_unsuccessful ON deliveries (endpoint_id, accepted_at, event_id)
    WHERE state IN ('failed', 'cancelled');
