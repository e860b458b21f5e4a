-- Times are Unix milliseconds, ids the bytes of their UUIDs.

CREATE TABLE endpoints (
    id BLOB PRIMARY KEY NOT NULL,
    account TEXT NOT NULL,
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Separated by spaces, which no name contains.
    event_types TEXT NOT NULL,
    rate_limit INTEGER,
    disabled BOOLEAN NOT NULL,
    disabled_reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX endpoints_by_account ON endpoints (account, created_at, id);

CREATE TABLE endpoint_secrets (
    endpoint_id BLOB NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    -- The newest has the highest.
    number INTEGER NOT NULL,
    master_key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    -- NULL: current.
    valid_until INTEGER,
    PRIMARY KEY (endpoint_id, number)
);

CREATE TABLE event_types (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    schema TEXT NOT NULL,
    example TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    id BLOB NOT NULL
);

CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    -- Orders keys that were made in the same millisecond.
    row_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    description TEXT NOT NULL,
    scope TEXT NOT NULL,
    account TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);

-- What must still be told to the directories. Written with the change itself.
CREATE TABLE outbox (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    mark BLOB NOT NULL,
    PRIMARY KEY (kind, key)
);
