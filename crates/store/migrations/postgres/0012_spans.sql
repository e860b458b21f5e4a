-- The span of each attempt's POST, 16 hex digits; empty before this version.
ALTER TABLE attempts ADD COLUMN span_id TEXT NOT NULL DEFAULT '';
