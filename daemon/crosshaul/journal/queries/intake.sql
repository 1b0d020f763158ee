-- name: admission_holders
SELECT files.destination, files.key, files.route, files.path
FROM json_each(?) AS wanted
JOIN files ON files.destination = wanted.value ->> 0 AND files.key = wanted.value ->> 1 AND files.holds_key = 1

-- name: backlog
SELECT coalesce(sum(files), 0) FROM tallies WHERE state IN ('pending', 'uploading')

-- name: release_key
UPDATE files SET holds_key = 0,
    state = CASE state WHEN 'uploading' THEN state ELSE 'quarantined' END,
    delivered_at = NULL, after_due_at = NULL
WHERE id = ?

-- name: offer_key
UPDATE files SET recheck = 1
WHERE destination = ? AND key = ? AND holds_key = 0 AND state = 'quarantined' AND id <> ?

-- name: admit_new
INSERT INTO files (
    destination, key, holds_key, state, size, fingerprint, settled_by, due_at, diagnosis,
    queued_at, changed_at, first_seen_at, route, path, generation
)
SELECT *, 1 FROM (VALUES /*rows*/)

-- name: admit_changed
UPDATE files SET
    destination = ?, key = ?, holds_key = ?,
    state = CASE state WHEN 'uploading' THEN state ELSE ? END,
    size = ?, fingerprint = ?, settled_by = ?, due_at = ?, diagnosis = ?, queued_at = ?,
    changed_at = CASE state WHEN 'uploading' THEN changed_at ELSE ? END,
    generation = generation + 1, recheck = 0, attempts = 0, ambiguous = 0,
    etag = NULL, receipt_size = NULL, delivered_at = NULL, checksum_kind = NULL, checksum = NULL,
    version_id = NULL, request_id = NULL, proven_by = NULL, after_due_at = NULL, after_action = NULL
WHERE id = ?

-- name: vanish
UPDATE files SET state = 'gone', holds_key = 0, recheck = 0, changed_at = ?
WHERE route = ? AND path = ? AND state IN ('pending', 'settling', 'quarantined')

-- name: forget_multipart_of
DELETE FROM multiparts WHERE file = (SELECT id FROM files WHERE route = ? AND path = ? AND state = 'gone')

-- name: save_route
INSERT INTO routes (name, watcher, last_scan_at, last_scan_seconds, lost_events, settling) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    watcher = excluded.watcher, last_scan_at = excluded.last_scan_at, last_scan_seconds = excluded.last_scan_seconds,
    lost_events = excluded.lost_events, settling = excluded.settling

-- name: recorded
SELECT path, fingerprint, settled_by FROM files WHERE route = ? AND path IN (/*paths*/)
