-- name: place_of
SELECT id FROM places WHERE endpoint = ? AND bucket = ?

-- name: plan_of
SELECT id FROM plans WHERE route = ? AND digest = ?

-- name: plans_in_force
SELECT id FROM plans WHERE in_force = 1

-- name: add_place
INSERT INTO places (endpoint, bucket) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: add_plan
INSERT INTO plans (route, digest, place, root, by_content, in_force) VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING

-- name: bring_into_force
UPDATE plans SET in_force = id IN (SELECT value FROM json_each(?))

-- name: name_place
UPDATE places SET endpoint = ?, bucket = ? WHERE id = ?

-- name: release_duplicate_keys
UPDATE files SET holds_key = 0, recheck = 1, state = CASE state WHEN 'delivered' THEN state ELSE 'quarantined' END
WHERE place = ? AND holds_key = 1
    AND EXISTS (SELECT 1 FROM files AS other WHERE other.place = ? AND other.key = files.key AND other.holds_key = 1)

-- name: move_to_place
UPDATE files SET place = ? WHERE place = ?

-- name: drop_place
DELETE FROM places WHERE id = ?

-- name: has_leftovers
SELECT EXISTS (SELECT 1 FROM files WHERE state = 'pending' AND route = ?1 AND plan < ?2)
    OR EXISTS (SELECT 1 FROM files WHERE state = 'pending' AND route = ?1 AND plan > ?2)
    OR EXISTS (
        SELECT 1 FROM files
        WHERE state IN ('uploading', 'changed', 'quarantined') AND route = ?1 AND plan <> ?2
    )

-- name: last_record
SELECT coalesce(max(id), 0) FROM files

-- name: leftovers
SELECT path FROM files NOT INDEXED
WHERE id > ? AND id <= ? AND route = ? AND plan <> ? AND state IN ('pending', 'uploading', 'changed', 'quarantined')

-- name: is_in_force
SELECT EXISTS (SELECT 1 FROM plans WHERE route = ? AND digest = ? AND in_force = 1)

-- name: delivered_of_other_plans
SELECT path, fingerprint, endpoint, bucket, key FROM files NOT INDEXED JOIN places ON places.id = files.place
WHERE files.id > ? AND files.id <= ? AND route = ? AND plan <> ? AND state = 'delivered'
    AND coalesce(after_action NOT IN ('done', 'gone'), 1)

-- name: resend
UPDATE files SET state = 'pending', generation = generation + 1, recheck = 0, attempts = 0, ambiguous = 0,
    changed_at = ?1, due_at = ?1, queued_at = ?1, diagnosis = NULL,
    delivered_at = NULL, request_id = NULL, proven_by = NULL, after_due_at = NULL, after_action = NULL
WHERE route = ?2 AND path = ?3 AND state = 'delivered' AND holds_key > 0
