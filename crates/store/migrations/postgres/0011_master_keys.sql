-- The master keys that have sealed, by their ids; the latest one seals. Times
-- are Unix milliseconds.
CREATE TABLE master_keys (
    id TEXT PRIMARY KEY,
    activated_at BIGINT NOT NULL
);
-- What a rotation looks for.
CREATE INDEX endpoint_secrets_by_master_key ON endpoint_secrets (master_key_id);
CREATE INDEX endpoints_by_master_key ON endpoints (headers_master_key_id);
