-- Spans of events that are sent to an endpoint again. Times are Unix
-- milliseconds.

CREATE TABLE replays (
    id UUID PRIMARY KEY,
    account TEXT NOT NULL,
    endpoint_id UUID NOT NULL,
    -- failed or all.
    status TEXT NOT NULL,
    -- Separated by spaces, which no name contains; empty: every one.
    event_types TEXT NOT NULL,
    after_at BIGINT NOT NULL,
    before_at BIGINT NOT NULL,
    -- dry_run, running, done or cancelled.
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- NULL: something is to be sent, or under way.
    ended_at BIGINT,
    -- Events.
    matched BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    -- The last event that was dealt with; all before it are.
    cursor_at BIGINT NOT NULL,
    cursor_event UUID NOT NULL,
    -- Whoever works on it, and until when nobody else does.
    claimed_by UUID NOT NULL,
    claimed_until BIGINT NOT NULL
);
CREATE INDEX replays_open ON replays (id) WHERE ended_at IS NULL;

-- What an open replay waits for.
CREATE TABLE replay_deliveries (
    replay_id UUID NOT NULL,
    event_id UUID NOT NULL,
    delivery_id UUID NOT NULL,
    -- The event's.
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (replay_id, event_id)
);

-- What a replay of failures reads, in its order.
CREATE INDEX deliveries_unsuccessful ON deliveries (endpoint_id, accepted_at, event_id)
    WHERE state IN ('failed', 'cancelled');
