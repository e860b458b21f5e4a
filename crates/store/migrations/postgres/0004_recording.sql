-- Recording costs what its rows weigh in b-trees. A delivery is always asked
-- for with its event, whose id grows with time: so keyed, new rows stand side
-- by side, and an event's deliveries need no index of their own.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_pkey;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_pkey PRIMARY KEY (event_id, id);
DROP INDEX deliveries_by_event;

-- Failed attempts in a row, since failing_since.
ALTER TABLE history_endpoints ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
-- Deliveries but tests that wait although they are due, and what for.
ALTER TABLE history_endpoints ADD COLUMN throttled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE history_endpoints ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
-- When the last one that was told of is expected to be made.
ALTER TABLE history_endpoints ADD COLUMN paused_until BIGINT;
-- The attempt that ended the last long failure, and since when that lasted.
ALTER TABLE history_endpoints ADD COLUMN recovered_by UUID;
ALTER TABLE history_endpoints ADD COLUMN recovered_since BIGINT;

-- Rows that every batch changes stay on their pages.
ALTER TABLE history_endpoints SET (fillfactor = 50);
ALTER TABLE delivery_counts SET (fillfactor = 50);
