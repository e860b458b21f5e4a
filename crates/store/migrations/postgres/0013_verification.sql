-- Whether an endpoint has shown that it is its account's: not_required, pending
-- or verified.
ALTER TABLE endpoints ADD COLUMN verification TEXT NOT NULL DEFAULT 'not_required';
-- When it was asked last, Unix milliseconds; NULL: never.
ALTER TABLE endpoints ADD COLUMN challenged_at BIGINT;
