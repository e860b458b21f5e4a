-- Keys from POSTRIDER_ADMIN_KEY that were revoked: they stay so while it still
-- names them.
CREATE TABLE revoked_keys (
    id TEXT PRIMARY KEY NOT NULL,
    -- Unix milliseconds.
    revoked_at INTEGER NOT NULL
);
