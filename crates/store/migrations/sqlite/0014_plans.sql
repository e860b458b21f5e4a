-- Why endpoints do not get the event: for each a byte for the reason and the
-- sixteen of its id. What was recorded before stands in not_sent, into which
-- processes of the version before still write.
ALTER TABLE plans ADD COLUMN not_sent BLOB NOT NULL DEFAULT x'';
