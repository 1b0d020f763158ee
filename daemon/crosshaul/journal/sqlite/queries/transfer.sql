-- Results of many rows are one JSON text: a step per row would contend for the interpreter's lock (bulk.py).

-- name: due
SELECT json_group_array(id) FROM (
    SELECT id FROM files WHERE state = 'pending' AND route = ? AND plan = ? AND (size >= 262144) = ?
        AND (diagnosis IS NOT NULL) = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?
)

-- name: canaries_newest
SELECT json_group_array(json_array(id, hex(path), due_at)) FROM (
    SELECT id, path, due_at FROM files WHERE state = 'pending' AND route = ? AND plan = ? AND (size >= 262144) = ?
        AND (diagnosis IS NOT NULL) = ? AND due_at <= ? ORDER BY due_at DESC, id DESC LIMIT ?
)

-- name: canaries_oldest
SELECT json_group_array(json_array(id, hex(path), due_at)) FROM (
    SELECT id, path, due_at FROM files WHERE state = 'pending' AND route = ? AND plan = ? AND (size >= 262144) = ?
        AND (diagnosis IS NOT NULL) = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?
)

-- name: claim
UPDATE files SET state = 'uploading', claimed = generation, changed_at = ?
WHERE id IN (SELECT value FROM json_each(?))

-- name: claimed
SELECT json_group_array(json_array(
    id, generation, route, destination, hex(path), fingerprint, key, attempts, ambiguous, plan,
    settled_by = 'ceiling'
)) FROM files WHERE id IN (SELECT value FROM json_each(?))

-- name: previous_of
SELECT id, etag, receipt_size, checksum_kind, checksum, version_id, kept_receipt_at, request_id, proven_by FROM files
WHERE id IN (SELECT value FROM json_each(?)) AND etag IS NOT NULL

-- name: multiparts_of
SELECT file, upload_id, key, part_size, checksum_kind FROM multiparts
WHERE file IN (SELECT value FROM json_each(?))

-- name: parts_of
SELECT file, number, size, etag, checksum_kind, checksum FROM parts
WHERE file IN (SELECT value FROM json_each(?)) ORDER BY file, number

-- name: claim_states
SELECT json_group_array(json_array(id, state, claimed, generation, holds_key, attempts, ambiguous, diagnosis)) FROM files
WHERE id IN (SELECT value FROM json_each(?))

-- name: deliver
UPDATE files SET state = 'delivered', claimed = NULL, attempts = 0, ambiguous = 0, diagnosis = NULL,
    changed_at = column1, after_due_at = column2, after_action = NULL,
    etag = column3, receipt_size = column4, delivered_at = column5, checksum_kind = column6, checksum = column7,
    version_id = column8, request_id = column9, proven_by = column10, kept_receipt_at = NULL
FROM (VALUES /*rows*/) WHERE id = column11

-- name: remember_stale
UPDATE files SET etag = ?, receipt_size = ?, checksum_kind = ?, checksum = ?, version_id = ?
WHERE id = ? AND key = ? AND place = coalesce((SELECT place FROM plans WHERE id = ?), 0)

-- name: drop_kept_receipt
UPDATE files SET kept_receipt_at = NULL WHERE id = ?

-- name: put_back
UPDATE files SET state = ?, claimed = NULL, changed_at = ?, due_at = ?, attempts = ?, ambiguous = ?, diagnosis = ?,
    holds_key = ?
WHERE id = ?

-- name: drop_multipart
DELETE FROM multiparts WHERE file IN (SELECT value FROM json_each(?))

-- name: begin_multipart
INSERT INTO multiparts (file, upload_id, key, part_size, checksum_kind) VALUES (?, ?, ?, ?, ?)

-- name: add_part
INSERT INTO parts (file, number, size, etag, checksum_kind, checksum) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (file, number) DO UPDATE SET
    size = excluded.size, etag = excluded.etag, checksum_kind = excluded.checksum_kind, checksum = excluded.checksum

-- name: make_due
UPDATE files SET due_at = ?1
WHERE state = 'pending' AND due_at > ?1 AND route IN (SELECT value FROM json_each(?2))

-- name: cap_after_due
UPDATE files SET after_due_at = ? WHERE route = ? AND after_due_at > ?

-- name: retry_overdue
UPDATE files SET after_due_at = ? WHERE route = ? AND after_due_at IS NOT NULL AND after_action IS NOT NULL

-- name: finish_after_task
UPDATE files SET after_due_at = ?, after_action = ?, diagnosis = ?
WHERE id = ? AND generation = ? AND after_due_at IS NOT NULL

-- name: send_again
UPDATE files SET
    state = 'pending', generation = generation + 1, recheck = 0, attempts = 0, ambiguous = 0,
    due_at = ?, queued_at = ?, changed_at = ?, diagnosis = ?,
    etag = NULL, receipt_size = NULL, delivered_at = NULL, checksum_kind = NULL, checksum = NULL,
    version_id = NULL, request_id = NULL, proven_by = NULL, after_due_at = NULL, after_action = NULL
WHERE id = ? AND generation = ? AND state = 'delivered' AND holds_key > 0

-- name: save_destination
INSERT INTO destinations (name, state, retry_at, credentials_expire_at, last_error, checksum_kind)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    state = excluded.state, retry_at = excluded.retry_at, credentials_expire_at = excluded.credentials_expire_at,
    last_error = excluded.last_error, checksum_kind = excluded.checksum_kind
