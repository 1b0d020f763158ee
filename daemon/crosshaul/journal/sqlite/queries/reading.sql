-- name: lookup
SELECT path, id, state, fingerprint, recheck, holds_key, place, key, plan
FROM files WHERE route = ? AND path IN (/*paths*/)

-- name: filter_changed
SELECT json_group_array(iif(fingerprint = column3 AND state NOT IN ('changed', 'gone'), -1 - column1, column1))
FROM (VALUES /*rows*/)
LEFT JOIN files ON route = ? AND path = column2
WHERE id IS NULL OR fingerprint <> column3 OR plan <> ? OR recheck OR state IN ('changed', 'gone')

-- name: next_due
SELECT min(due_at) FROM files WHERE state = 'pending' AND route = ? AND plan = ? AND (size >= 262144) = ?
    AND (diagnosis IS NOT NULL) = ?

-- name: route_counts
SELECT route, state, files, bytes FROM tallies WHERE files > 0 ORDER BY route

-- name: oldest_pending
SELECT min(queued_at) FROM files
WHERE state = 'pending' AND route = ?

-- name: due_after_tasks
-- Files that an earlier plan delivered are left out: this plan may send them elsewhere first.
SELECT id, generation, route, path, fingerprint, key, settled_by,
    etag, receipt_size, delivered_at, checksum_kind, checksum, version_id, request_id, proven_by
FROM files WHERE route = ? AND after_due_at IS NOT NULL AND after_due_at <= ?
    AND recheck = 0
    AND (plan IN (SELECT id FROM plans WHERE in_force = 1) OR NOT EXISTS (SELECT 1 FROM plans WHERE in_force = 1))
ORDER BY after_due_at, id LIMIT ?

-- name: next_after_due
SELECT min(after_due_at) FROM files WHERE route = ? AND after_due_at IS NOT NULL
    AND recheck = 0
    AND (plan IN (SELECT id FROM plans WHERE in_force = 1) OR NOT EXISTS (SELECT 1 FROM plans WHERE in_force = 1))

-- name: last_after_due
SELECT max(after_due_at) FROM files WHERE route = ? AND after_due_at IS NOT NULL

-- name: count_overdue
SELECT count(*) FROM (
    SELECT 1 FROM files WHERE route = ?1 AND after_due_at IS NOT NULL AND after_action IS NOT NULL
    UNION ALL
    SELECT 1 FROM files WHERE route = ?1 AND after_due_at <= ?2 AND after_action IS NULL
        AND (plan IN (SELECT id FROM plans WHERE in_force = 1) OR NOT EXISTS (SELECT 1 FROM plans WHERE in_force = 1))
    LIMIT ?3
)

-- name: first_overdue
-- Includes tasks that were checked too early, with the reason.
SELECT * FROM placed WHERE route = ? AND after_due_at IS NOT NULL
    AND (after_action IS NOT NULL OR diagnosis IS NOT NULL) ORDER BY id LIMIT ?

-- name: first_not_removed
-- Checked tasks are due again soon; the LIMIT avoids reading all tasks behind them that are not due yet.
SELECT * FROM (
    SELECT * FROM placed WHERE route = ? AND after_due_at IS NOT NULL ORDER BY after_due_at, id LIMIT 1000
) WHERE diagnosis IS NOT NULL LIMIT 1

-- name: undelivered_paths
SELECT path, fingerprint FROM files
WHERE route = ?1 AND state = 'pending' AND fingerprint IN (SELECT value FROM json_each(?2))
UNION ALL
SELECT path, fingerprint FROM files
WHERE route = ?1 AND state IN ('uploading', 'changed', 'quarantined')
    AND fingerprint IN (SELECT value FROM json_each(?2))

-- name: destinations
SELECT name, state, retry_at, credentials_expire_at, last_error, checksum_kind FROM destinations ORDER BY name

-- name: routes
SELECT name, watcher, last_scan_at, last_scan_seconds, lost_events, settling FROM routes ORDER BY name

-- name: records
SELECT * FROM placed WHERE id > :after AND (:state IS NULL OR state = :state) AND (:route IS NULL OR route = :route)
ORDER BY id LIMIT :limit

-- name: record_of_path
SELECT * FROM placed WHERE route = ? AND path = ?

-- name: record_of_key
SELECT * FROM placed WHERE endpoint = ? AND bucket = ? AND key = ? AND holds_key = 1

-- name: first_uploading
SELECT * FROM placed
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading' LIMIT ?

-- name: first_quarantined
SELECT * FROM placed
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'quarantined' LIMIT ?

-- name: longest_pending
SELECT * FROM placed
WHERE state = 'pending' AND route = ? ORDER BY queued_at LIMIT ?

-- name: bytes_in_parts
SELECT coalesce(sum(size), 0) FROM parts
