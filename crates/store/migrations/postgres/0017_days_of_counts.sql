-- An endpoint's counts of ninety days are two thousand rows, each on a page of its
-- own. The sums of whole days are kept beside them, by the database itself: so they are
-- true whichever version changes the counts.
CREATE TABLE delivery_counts_of_days (
    endpoint_id UUID NOT NULL,
    -- Unix days.
    day BIGINT NOT NULL,
    total BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    retrying BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, day)
) WITH (fillfactor = 50);

CREATE FUNCTION count_days() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO delivery_counts_of_days AS days
        SELECT endpoint_id, hour / 24, SUM(total), SUM(succeeded), SUM(failed),
            SUM(cancelled), SUM(pending), SUM(retrying)
        FROM added GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (endpoint_id, day) DO UPDATE SET
            total = days.total + excluded.total,
            succeeded = days.succeeded + excluded.succeeded,
            failed = days.failed + excluded.failed,
            cancelled = days.cancelled + excluded.cancelled,
            pending = days.pending + excluded.pending,
            retrying = days.retrying + excluded.retrying;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO delivery_counts_of_days AS days
        SELECT endpoint_id, hour / 24, SUM(total), SUM(succeeded), SUM(failed),
            SUM(cancelled), SUM(pending), SUM(retrying)
        FROM (
            SELECT * FROM added
            UNION ALL
            SELECT endpoint_id, hour, -total, -succeeded, -failed, -cancelled, -pending, -retrying
            FROM removed
        ) AS changed GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (endpoint_id, day) DO UPDATE SET
            total = days.total + excluded.total,
            succeeded = days.succeeded + excluded.succeeded,
            failed = days.failed + excluded.failed,
            cancelled = days.cancelled + excluded.cancelled,
            pending = days.pending + excluded.pending,
            retrying = days.retrying + excluded.retrying;
    ELSE
        -- Hours go when they are old or with their endpoint: a day goes with its last.
        DELETE FROM delivery_counts_of_days AS days
        USING (SELECT DISTINCT endpoint_id, hour / 24 AS day FROM removed) AS gone
        WHERE days.endpoint_id = gone.endpoint_id AND days.day = gone.day;
        INSERT INTO delivery_counts_of_days
        SELECT counts.endpoint_id, counts.hour / 24, SUM(total), SUM(succeeded), SUM(failed),
            SUM(cancelled), SUM(pending), SUM(retrying)
        FROM (SELECT DISTINCT endpoint_id, hour / 24 AS day FROM removed) AS gone
        JOIN delivery_counts AS counts ON counts.endpoint_id = gone.endpoint_id
            AND counts.hour >= gone.day * 24 AND counts.hour < gone.day * 24 + 24
        GROUP BY 1, 2;
    END IF;
    RETURN NULL;
END $$;

-- Nobody writes counts until this is committed.
CREATE TRIGGER count_days_of_new AFTER INSERT ON delivery_counts
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_days();
CREATE TRIGGER count_days_of_changed AFTER UPDATE ON delivery_counts
REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_days();
CREATE TRIGGER count_days_of_gone AFTER DELETE ON delivery_counts
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_days();

INSERT INTO delivery_counts_of_days
SELECT endpoint_id, hour / 24, SUM(total), SUM(succeeded), SUM(failed), SUM(cancelled),
    SUM(pending), SUM(retrying)
FROM delivery_counts GROUP BY 1, 2;
