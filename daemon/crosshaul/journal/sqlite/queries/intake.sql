-- name: admission_holders
SELECT files.place, files.key, files.id, files.route, files.path
FROM json_each(?) AS wanted
JOIN files ON files.place = wanted.value ->> 0 AND files.key = wanted.value ->> 1 AND files.holds_key = 1

-- name: holder
SELECT files.state, files.fingerprint, files.path, coalesce(files.after_action IN ('done', 'gone'), 0),
    coalesce(plans.by_content, 0), plans.root,
    EXISTS (SELECT 1 FROM plans WHERE in_force = 1)
    AND NOT EXISTS (SELECT 1 FROM plans WHERE in_force = 1 AND route = files.route)
FROM files LEFT JOIN plans ON plans.id = files.plan WHERE files.id = ?

-- name: root_of
SELECT root FROM plans WHERE id = ?

-- name: backlog
SELECT coalesce(sum(files), 0) FROM tallies WHERE state IN ('pending', 'uploading')

-- name: release_key
UPDATE files SET holds_key = 0,
    state = CASE state WHEN 'uploading' THEN state ELSE 'quarantined' END,
    delivered_at = NULL, after_due_at = NULL
WHERE id = ?

-- name: hand_over_key
UPDATE files SET holds_key = 0, recheck = 1,
    state = CASE WHEN state IN ('uploading', 'delivered') THEN state ELSE 'gone' END
WHERE id = ?

-- name: offer_key
UPDATE files SET recheck = 1
WHERE place = ? AND key = ? AND holds_key = 0 AND state = 'quarantined' AND id <> ?

-- name: admit_new
INSERT INTO files (
    destination, key, holds_key, state, size, fingerprint, settled_by, due_at, diagnosis,
    queued_at, changed_at, place, plan, first_seen_at, route, path, generation
)
SELECT *, 1 FROM (VALUES /*rows*/)

-- name: admit_changed
UPDATE files SET
    destination = ?1, key = ?2, holds_key = ?3,
    state = CASE state WHEN 'uploading' THEN state ELSE ?4 END,
    settled_by = iif(fingerprint = ?6 AND state NOT IN ('changed', 'gone'), coalesce(settled_by, ?7), ?7),
    size = ?5, fingerprint = ?6, due_at = ?8, diagnosis = ?9, queued_at = ?10,
    changed_at = CASE state WHEN 'uploading' THEN changed_at ELSE ?11 END,
    place = ?12, plan = ?13,
    generation = generation + 1, recheck = 0, attempts = 0, ambiguous = 0,
    etag = iif(?14, etag, NULL), receipt_size = iif(?14, receipt_size, NULL), delivered_at = NULL,
    checksum_kind = iif(?14, checksum_kind, NULL), checksum = iif(?14, checksum, NULL),
    version_id = iif(?14, version_id, NULL),
    request_id = iif(?15, request_id, NULL), proven_by = iif(?15, proven_by, NULL),
    kept_receipt_at = iif(?15, iif(state = 'delivered', delivered_at, kept_receipt_at), NULL),
    after_due_at = NULL, after_action = NULL
WHERE id = ?16

-- name: admit_replanned
UPDATE files SET destination = ?, plan = ? WHERE id = ?

-- name: take_receipt
UPDATE files SET state = 'delivered', recheck = 0, diagnosis = NULL, changed_at = holder.changed_at,
    etag = holder.etag, receipt_size = holder.receipt_size, delivered_at = holder.delivered_at,
    checksum_kind = holder.checksum_kind, checksum = holder.checksum, version_id = holder.version_id,
    request_id = holder.request_id, proven_by = holder.proven_by,
    after_due_at = holder.after_due_at, after_action = holder.after_action
FROM files AS holder WHERE holder.id = ? AND files.route = ? AND files.path = ?

-- name: mark_gone
UPDATE files SET state = 'gone', holds_key = 0, recheck = 0, changed_at = ?
WHERE route = ? AND path = ? AND state IN ('pending', 'changed', 'quarantined')

-- name: mark_excluded
UPDATE files SET holds_key = 0, recheck = 1,
    state = CASE state WHEN 'delivered' THEN state ELSE 'gone' END,
    changed_at = CASE state WHEN 'delivered' THEN changed_at ELSE ?1 END,
    diagnosis = CASE state WHEN 'delivered' THEN diagnosis ELSE ?2 END
WHERE route = ?3 AND path = ?4 AND state IN ('pending', 'changed', 'quarantined', 'delivered')

-- name: source_gone
UPDATE files SET after_action = 'gone'
WHERE route = ? AND path = ? AND state = 'delivered' AND after_due_at IS NULL
    AND (after_action IS NULL OR after_action NOT IN ('done', 'gone'))

-- name: offer_keys_of_paths
-- A join: for a pair in a list SQLite would look up the place alone, and read every record there without a key.
UPDATE files SET recheck = 1
FROM (
    SELECT place, key FROM files WHERE route = ? AND path = ? AND holds_key = 1 AND after_action = 'gone'
) AS freed
WHERE files.place = freed.place AND files.key = freed.key AND files.holds_key = 0 AND files.state = 'quarantined'

-- name: offer_keys_of
UPDATE files SET recheck = 1
FROM (
    SELECT place, key FROM files
    WHERE id IN (SELECT value FROM json_each(?)) AND holds_key = 1 AND after_action IN ('done', 'gone')
) AS freed
WHERE files.place = freed.place AND files.key = freed.key AND files.holds_key = 0 AND files.state = 'quarantined'

-- name: save_route
INSERT INTO routes (name, watcher, last_scan_at, last_scan_seconds, lost_events, settling) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    watcher = excluded.watcher, last_scan_at = excluded.last_scan_at, last_scan_seconds = excluded.last_scan_seconds,
    lost_events = excluded.lost_events, settling = excluded.settling

-- name: recorded
SELECT path, fingerprint, settled_by FROM files WHERE route = ? AND path IN (/*paths*/)
