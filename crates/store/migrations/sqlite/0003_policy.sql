-- How an endpoint's owner wants deliveries to be made; NULL is as in the rest
-- of the deployment.

-- Delays joined by commas, e.g. 5s,30s; empty is no retries.
ALTER TABLE endpoints ADD COLUMN retry_schedule TEXT;
ALTER TABLE endpoints ADD COLUMN timeout_seconds INTEGER;
-- Requests at once.
ALTER TABLE endpoints ADD COLUMN max_concurrency INTEGER;
ALTER TABLE endpoints ADD COLUMN send_traceparent BOOLEAN NOT NULL DEFAULT TRUE;
-- Request headers under the master key; both are NULL if there are none.
ALTER TABLE endpoints ADD COLUMN headers_master_key_id TEXT;
ALTER TABLE endpoints ADD COLUMN headers_sealed BLOB;
