-- Since when a delivery's first attempt is due; NULL of what was recorded before.
ALTER TABLE deliveries ADD COLUMN planned_at INTEGER;
UPDATE deliveries SET planned_at = accepted_at WHERE state = 'pending';

-- What is due and has not happened, the longest overdue first.
CREATE INDEX deliveries_due ON deliveries (COALESCE(next_attempt_at, planned_at), id)
    WHERE state = 'pending';

-- What a replay of all reads, in its order: without the event it would read and
-- sort the whole span in every step.
DROP INDEX deliveries_by_endpoint;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, accepted_at, event_id);

-- Accounts that have less kept than the deployment; NULL is as much.
CREATE TABLE account_retention (
    account TEXT PRIMARY KEY NOT NULL,
    event_days INTEGER,
    record_days INTEGER
);
