-- Every question is planned once for each connection, over the tables of all
-- days, and anew whenever one of them was analyzed or vacuumed: that takes ten
-- times as long as answering. Plans do not depend on how many rows there are, so
-- no day's table is analyzed. Of rows that are only added there is nothing to be
-- vacuumed; where rows are changed or deleted autovacuum comes as ever.
CREATE OR REPLACE FUNCTION make_day(divided TEXT, day BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    part TEXT := divided || '_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
    first BIGINT := day * 86400000;
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('postrider.' || divided));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH '
        '(autovacuum_analyze_threshold = 2147483647, autovacuum_vacuum_insert_threshold = -1)',
        part, divided);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        divided, part, first, first + 86400000);
END $$;

-- The days that are there.
DO $$
DECLARE
    part REGCLASS;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent IN ('events'::regclass, 'event_tags'::regclass, 'plans'::regclass,
            'not_sent'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_analyze_threshold = 2147483647, '
            'autovacuum_vacuum_insert_threshold = -1)', part);
    END LOOP;
END $$;
