-- What was asked to be erased. Times are Unix milliseconds, ids the bytes of
-- their UUIDs.
CREATE TABLE erasures (
    id BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    -- event, tag, account or endpoint.
    kind TEXT NOT NULL,
    -- Of the event or the endpoint.
    subject BLOB,
    -- Empty when it is done: it may tell of a person.
    tag_name TEXT NOT NULL,
    tag_value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- NULL: something may be left.
    ended_at INTEGER,
    -- How far it is, as who works on it notes it down. JSON.
    progress TEXT NOT NULL,
    -- What is gone.
    events INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    -- Whoever works on it, and until when nobody else does.
    claimed_by BLOB NOT NULL,
    claimed_until INTEGER NOT NULL
);
CREATE INDEX erasures_open ON erasures (id) WHERE ended_at IS NULL;
CREATE INDEX erasures_ended ON erasures (ended_at) WHERE ended_at IS NOT NULL;

-- What is erased and may still be told of: nothing of it is recorded again.
CREATE TABLE erased (
    -- An event's, or one derived from an account.
    id BLOB NOT NULL,
    erasure_id BLOB NOT NULL,
    -- Events accepted at or after are not meant: the next millisecond of an
    -- event's own instant.
    accepted_before INTEGER NOT NULL,
    marked_at INTEGER NOT NULL,
    PRIMARY KEY (id, erasure_id)
) WITHOUT ROWID;
CREATE INDEX erased_by_erasure ON erased (erasure_id, id);
CREATE INDEX erased_by_age ON erased (marked_at);

CREATE INDEX history_endpoints_by_account ON history_endpoints (account, id);

-- Of which event the item was.
ALTER TABLE quarantine ADD COLUMN event_id BLOB;
CREATE INDEX quarantine_by_event ON quarantine (event_id);

-- Replays that have ended are shown for a while.
CREATE INDEX replays_ended ON replays (ended_at) WHERE ended_at IS NOT NULL;
