-- name: abandon
INSERT OR IGNORE INTO abandoned (place, key, upload_id, file, claimed, due_at)
SELECT files.place, multiparts.key, upload_id, file, claimed, due_at
FROM multiparts JOIN files ON files.id = file WHERE file IN (SELECT value FROM json_each(?))

-- name: abandon_gone
INSERT OR IGNORE INTO abandoned (place, key, upload_id, file, claimed, due_at)
SELECT files.place, multiparts.key, upload_id, file, claimed, due_at
FROM multiparts JOIN files ON files.id = file WHERE state = 'gone'

-- name: forget_gone
DELETE FROM multiparts WHERE file IN (SELECT file FROM multiparts JOIN files ON files.id = file WHERE state = 'gone')

-- name: abandon_unrouted
INSERT OR IGNORE INTO abandoned (place, key, upload_id, file, claimed, due_at)
SELECT files.place, multiparts.key, upload_id, file, claimed, due_at
FROM multiparts JOIN files ON files.id = file
WHERE state <> 'uploading' AND changed_at <= ? AND EXISTS (SELECT 1 FROM plans WHERE in_force = 1)
    AND route NOT IN (SELECT route FROM plans WHERE in_force = 1)

-- name: forget_abandoned
DELETE FROM multiparts WHERE file IN (
    SELECT multiparts.file FROM multiparts JOIN abandoned ON abandoned.file = multiparts.file
        AND abandoned.key = multiparts.key AND abandoned.upload_id = multiparts.upload_id
)

-- name: bound_abandoned
DELETE FROM abandoned WHERE (place, key, upload_id) IN (
    SELECT place, key, upload_id FROM abandoned ORDER BY tries, due_at DESC LIMIT -1 OFFSET ?
)

-- name: abandoned_due
SELECT abandoned.place, abandoned.key, upload_id, tries
FROM abandoned JOIN places ON places.id = abandoned.place LEFT JOIN files ON files.id = abandoned.file
WHERE endpoint = ? AND bucket = ? AND abandoned.due_at <= ?
    AND NOT coalesce(files.state = 'uploading' AND files.claimed = abandoned.claimed, 0)
ORDER BY abandoned.due_at LIMIT ?

-- name: abandoned_again
UPDATE abandoned SET tries = tries + 1, due_at = ? WHERE place = ? AND key = ? AND upload_id = ?

-- name: aborted
DELETE FROM abandoned WHERE key = ? AND upload_id = ?

-- name: abandoned_over
DELETE FROM abandoned WHERE place = ? AND key = ? AND upload_id = ?
