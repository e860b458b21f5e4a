-- What was asked to be erased. Times are Unix milliseconds.
CREATE TABLE erasures (
    id UUID PRIMARY KEY,
    account TEXT NOT NULL,
    -- event, tag, account or endpoint.
    kind TEXT NOT NULL,
    -- Of the event or the endpoint.
    subject UUID,
    -- Empty when it is done: it may tell of a person.
    tag_name TEXT NOT NULL,
    tag_value TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- NULL: something may be left.
    ended_at BIGINT,
    -- How far it is, as who works on it notes it down. JSON.
    progress TEXT NOT NULL,
    -- What is gone.
    events BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    -- Whoever works on it, and until when nobody else does.
    claimed_by UUID NOT NULL,
    claimed_until BIGINT NOT NULL
);
CREATE INDEX erasures_open ON erasures (id) WHERE ended_at IS NULL;
CREATE INDEX erasures_ended ON erasures (ended_at) WHERE ended_at IS NOT NULL;

-- What is erased and may still be told of: nothing of it is recorded again.
CREATE TABLE erased (
    -- An event's, or one derived from an account.
    id UUID NOT NULL,
    erasure_id UUID NOT NULL,
    -- Events accepted at or after are not meant: the next millisecond of an
    -- event's own instant.
    accepted_before BIGINT NOT NULL,
    marked_at BIGINT NOT NULL,
    PRIMARY KEY (id, erasure_id)
);
CREATE INDEX erased_by_erasure ON erased (erasure_id, id);
CREATE INDEX erased_by_age ON erased (marked_at);

CREATE INDEX history_endpoints_by_account ON history_endpoints (account, id);

-- Of which event the item was.
ALTER TABLE quarantine ADD COLUMN event_id UUID;
CREATE INDEX quarantine_by_event ON quarantine (event_id);

-- Replays that have ended are shown for a while.
CREATE INDEX replays_ended ON replays (ended_at) WHERE ended_at IS NOT NULL;
