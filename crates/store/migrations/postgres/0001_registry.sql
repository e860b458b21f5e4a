-- Times are Unix milliseconds, ids the bytes of their UUIDs.

CREATE TABLE endpoints (
    id UUID PRIMARY KEY,
    account TEXT NOT NULL,
    version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Separated by spaces, which no name contains.
    event_types TEXT NOT NULL,
    rate_limit BIGINT,
    disabled BOOLEAN NOT NULL,
    disabled_reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX endpoints_by_account ON endpoints (account, created_at, id);

CREATE TABLE endpoint_secrets (
    endpoint_id UUID NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    -- The newest has the highest.
    number BIGINT NOT NULL,
    master_key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    -- NULL: current.
    valid_until BIGINT,
    PRIMARY KEY (endpoint_id, number)
);

CREATE TABLE event_types (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    schema TEXT NOT NULL,
    example TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    id UUID NOT NULL
);

CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    -- Orders keys that were made in the same millisecond.
    row_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    description TEXT NOT NULL,
    scope TEXT NOT NULL,
    account TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- What must still be told to the directories. Written with the change itself.
CREATE TABLE outbox (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    mark UUID NOT NULL,
    PRIMARY KEY (kind, key)
);
