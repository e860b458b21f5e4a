-- Where to look for what most days have nothing of. Ninety days' indexes take ninety
-- reads of the disk to say that there is none of a type, or on which day a trace was.
-- So it is noted once, when a day is over, on which days a key is found: history's
-- maintenance does it, and recording has no part in it.

CREATE TABLE closed_days (
    -- Unix days.
    day BIGINT PRIMARY KEY,
    -- Whether all keys of the day are there.
    is_noted BOOLEAN NOT NULL,
    -- When that began.
    noted_at BIGINT NOT NULL
);
CREATE INDEX closed_days_noted ON closed_days (day) WHERE is_noted;

-- For which of them something came late. Rows are added by all who write for the day,
-- each its own: one that all of them change would make them wait for each other's end.
CREATE TABLE reopened_days (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day BIGINT NOT NULL
);
CREATE INDEX reopened_days_by_day ON reopened_days (day);

CREATE TABLE keys_of_days (
    -- A hash: two keys may have the same, and then a day is looked at in vain.
    key BIGINT NOT NULL,
    day BIGINT NOT NULL,
    PRIMARY KEY (key, day)
) PARTITION BY RANGE (day);

CREATE FUNCTION reopen_day() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    -- Once in a transaction, of most.
    IF current_setting('postrider.reopened_day', TRUE) IS DISTINCT FROM TG_ARGV[0] THEN
        INSERT INTO reopened_days (day) VALUES (TG_ARGV[0]::bigint);
        PERFORM set_config('postrider.reopened_day', TG_ARGV[0], TRUE);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION name_of_day(divided TEXT, day BIGINT) RETURNS TEXT STABLE LANGUAGE sql AS $$
    SELECT divided || '_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD')
$$;

-- From when this is committed on, whatever is added to a day's table reopens the
-- day, and what was added before is committed, too: making the trigger waits for it.
-- Not for long, since meanwhile others wait behind it: a batch is recorded by two
-- transactions, and the first to be committed might be the one that waits.
CREATE FUNCTION watch_day(divided TEXT, day BIGINT) RETURNS VOID
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    part REGCLASS := to_regclass(name_of_day(divided, day));
BEGIN
    IF part IS NULL OR EXISTS (SELECT FROM pg_trigger
        WHERE tgrelid = part AND tgname = 'reopens_its_day') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER reopens_its_day AFTER INSERT ON %s '
        'FOR EACH ROW EXECUTE FUNCTION reopen_day(%L)', part, day);
END $$;

-- As before, and a table that is made for a day that is closed reopens it.
ALTER FUNCTION make_day RENAME TO make_table_of_day;
CREATE FUNCTION make_day(divided TEXT, day BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(name_of_day(divided, day)) IS NULL THEN
        PERFORM make_table_of_day(divided, day);
        INSERT INTO reopened_days (day)
        SELECT closed_days.day FROM closed_days WHERE closed_days.day = make_day.day;
    END IF;
END $$;

-- The table of the 32 days that a day is one of, where it is missing.
CREATE FUNCTION make_keys(day BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    first BIGINT := day / 32 * 32;
    part TEXT := name_of_day('keys_of_days', first);
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE keys_of_days INCLUDING ALL)', part);
        EXECUTE format('ALTER TABLE keys_of_days ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            part, first, first + 32);
    END IF;
END $$;

-- Notes the keys of so many pages of a day's table from one on; gives whether there
-- are more. A key is a text: a trace's id, or an endpoint's id and a type.
CREATE FUNCTION note_keys(divided TEXT, day BIGINT, page BIGINT, pages BIGINT)
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    part REGCLASS := to_regclass(name_of_day(divided, day));
    keys TEXT := 'trace_id';
BEGIN
    IF part IS NULL THEN
        RETURN FALSE;
    END IF;
    IF divided = 'attempts' THEN
        keys := 'unnest(ARRAY[trace_id, endpoint_id || '' '' || event_type])';
    END IF;
    EXECUTE format('INSERT INTO keys_of_days SELECT DISTINCT hashtextextended(key, 0), $1 '
        'FROM (SELECT %s AS key FROM %s WHERE ctid >= format(''(%%s,0)'', $2)::tid '
        'AND ctid < format(''(%%s,0)'', $3)::tid) AS keys ORDER BY 1 ON CONFLICT DO NOTHING',
        keys, part) USING day, page, page + pages;
    RETURN pg_relation_size(part) > (page + pages) * current_setting('block_size')::bigint;
END $$;

-- Which files a day's rows are in: others, when they were moved (VACUUM FULL). Nothing
-- of a day with a table of more than so many bytes: noting it would take too long.
CREATE FUNCTION files_of_day(day BIGINT, at_most BIGINT) RETURNS TEXT STABLE LANGUAGE sql AS $$
    SELECT string_agg(pg_relation_filenode(part)::text, ' ' ORDER BY divided)
    FROM (SELECT divided, to_regclass(name_of_day(divided, day)) AS part
        FROM unnest(ARRAY['attempts', 'events']) AS divided) AS parts
    HAVING COALESCE(MAX(pg_relation_size(part)), 0) <= at_most
$$;
