-- Who changed what, when and from where. Times are Unix milliseconds. Rows are
-- only added, and removed when they are old.
CREATE TABLE audit (
    id UUID PRIMARY KEY,
    at BIGINT NOT NULL,
    -- NULL: not in an account.
    account TEXT,
    -- Empty: Postrider itself.
    key_id TEXT NOT NULL,
    via TEXT NOT NULL,
    -- NULL: nobody called.
    address TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_account ON audit (account, at, id);

-- About when it was used last; NULL: not since it is noted.
ALTER TABLE keys ADD COLUMN last_used_at BIGINT;
