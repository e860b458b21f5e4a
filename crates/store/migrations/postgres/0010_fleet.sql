-- Whoever runs the fleet looks for the few endpoints that are in trouble.
CREATE INDEX history_endpoints_failing ON history_endpoints (failing_since)
    WHERE failing_since IS NOT NULL AND deleted = FALSE;
CREATE INDEX history_endpoints_behind ON history_endpoints (id)
    WHERE (throttled > 0 OR paused > 0) AND deleted = FALSE;
