-- name: known
SELECT path, id, state, fingerprint, recheck, holds_key, destination, key FROM files WHERE route = ? AND path IN (/*paths*/)

-- name: unfamiliar
SELECT json_group_array(column1) FROM (VALUES /*rows*/)
LEFT JOIN files ON route = ? AND path = column2 AND fingerprint = column3
    AND recheck = 0 AND state NOT IN ('settling', 'gone')
WHERE id IS NULL

-- name: next_due
SELECT min(due_at) FROM files WHERE state = 'pending' AND route = ? AND (size >= 262144) = ?

-- name: tallies
SELECT route, state, files, bytes FROM tallies WHERE files > 0 ORDER BY route

-- name: oldest_pending
SELECT min(queued_at) FROM files WHERE state = 'pending' AND route = ?

-- name: after_due
SELECT id, generation, route, path, fingerprint,
    etag, receipt_size, delivered_at, checksum_kind, checksum, version_id, request_id, proven_by
FROM files WHERE route = ? AND after_due_at IS NOT NULL AND after_due_at <= ? ORDER BY after_due_at, id LIMIT ?

-- name: next_after
SELECT min(after_due_at) FROM files WHERE route = ? AND after_due_at IS NOT NULL

-- name: destinations
SELECT name, state, retry_at, credentials_expire_at, last_error, checksum_kind FROM destinations ORDER BY name

-- name: routes
SELECT name, watcher, last_scan_at, last_scan_seconds, lost_events, settling FROM routes ORDER BY name

-- name: records
SELECT * FROM files WHERE id > :after AND (:state IS NULL OR state = :state) AND (:route IS NULL OR route = :route)
ORDER BY id LIMIT :limit

-- name: record_of_path
SELECT * FROM files WHERE route = ? AND path = ?

-- name: record_of_key
SELECT * FROM files WHERE destination = ? AND key = ? AND holds_key = 1

-- name: first_uploading
SELECT * FROM files WHERE state = 'uploading' LIMIT ?

-- name: first_quarantined
SELECT * FROM files WHERE state = 'quarantined' LIMIT ?

-- name: first_waiting
SELECT * FROM files WHERE state = 'pending' AND route = ? ORDER BY queued_at LIMIT ?

-- name: bytes_in_parts
SELECT coalesce(sum(size), 0) FROM parts
