-- name: recover_uploading
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE 'quarantined' END,
    ambiguous = ambiguous OR claimed = generation, claimed = NULL, changed_at = ?1, due_at = min(due_at, ?1)
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'

-- name: reclaim
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE 'quarantined' END,
    ambiguous = ambiguous OR claimed = generation, claimed = NULL, changed_at = ?1, due_at = min(due_at, ?1)
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'
    AND route IN (SELECT value FROM json_each(?2))

-- name: held_claims
-- Rows: SQLite's JSON does not keep a REAL exactly.
SELECT id, claimed, changed_at, route, path FROM files
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'
    AND route IN (SELECT value FROM json_each(?))

-- name: release_lost
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE 'quarantined' END,
    ambiguous = ambiguous OR claimed = generation, claimed = NULL, changed_at = ?1, due_at = min(due_at, ?1)
WHERE id = ?2 AND state = 'uploading' AND claimed = ?3 AND changed_at = ?4

-- name: recover_changed
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE 'quarantined' END, changed_at = ?1, due_at = ?1
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'changed'

-- name: requeue_all
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE state END, recheck = NOT holds_key,
    changed_at = CASE WHEN holds_key THEN ?1 ELSE changed_at END, attempts = 0, due_at = ?1, queued_at = ?1
WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'quarantined'

-- name: requeue_one
UPDATE files SET
    state = CASE WHEN holds_key THEN 'pending' ELSE state END, recheck = NOT holds_key,
    changed_at = CASE WHEN holds_key THEN ?1 ELSE changed_at END, attempts = 0, due_at = ?1, queued_at = ?1
WHERE route = ?2 AND path = ?3 AND state = 'quarantined'
