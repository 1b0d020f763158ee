-- The state `settling` becomes `changed`, as all commands call it: a file settles before it is queued. SQLite cannot
-- alter a CHECK constraint, so the table is rebuilt.

DROP VIEW placed;

CREATE TABLE new_files (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    path BLOB NOT NULL,
    destination TEXT NOT NULL,
    -- 0 in both: unknown.
    place INTEGER NOT NULL DEFAULT 0,
    plan INTEGER NOT NULL DEFAULT 0,
    key TEXT NOT NULL,
    -- 1: the key is this file's own. 2: shared with files of equal content. 0: not held, since the file was refused, is
    -- in conflict or gone, or lost the key to another file after its source was removed.
    holds_key INTEGER NOT NULL CHECK (holds_key IN (0, 1, 2)),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'uploading', 'changed', 'delivered', 'quarantined', 'gone')),
    generation INTEGER NOT NULL CHECK (generation > 0),
    -- The generation that was claimed for upload; lower than `generation` if the file changed since.
    claimed INTEGER CHECK (claimed <= generation),
    size INTEGER NOT NULL,
    -- Text, because times after the year 2262 and some inode numbers don't fit SQLite's integers.
    fingerprint TEXT NOT NULL,
    -- Why the file counted as settled.
    settled_by TEXT,
    -- 1: process the file again when it is next seen, since an earlier decision may no longer hold.
    recheck INTEGER NOT NULL DEFAULT 0 CHECK (recheck IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0 CHECK (ambiguous IN (0, 1)),
    first_seen_at REAL NOT NULL,
    queued_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    due_at REAL NOT NULL,
    diagnosis TEXT,
    -- The receipt. Without delivered_at it is that of the previous content, under the same key of the same place.
    etag TEXT,
    receipt_size INTEGER,
    delivered_at REAL,
    checksum_kind TEXT,
    checksum TEXT,
    version_id TEXT,
    request_id TEXT,
    proven_by TEXT,
    after_due_at REAL,
    after_action TEXT,
    -- When S3 gave the receipt that the file kept although its ctime changed (chmod, a hard link). Not null only while
    -- nothing was sent to the key since.
    kept_receipt_at REAL,
    UNIQUE (route, path),
    CHECK ((state = 'uploading') = (claimed IS NOT NULL)),
    CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK (state = 'delivered' OR after_due_at IS NULL),
    CHECK (holds_key > 0 OR state <> 'pending'),
    CHECK (holds_key = 0 OR state <> 'gone')
) STRICT;

INSERT INTO new_files (
    id, route, path, destination, place, plan, key, holds_key, state, generation, claimed, size, fingerprint, settled_by,
    recheck, attempts, ambiguous, first_seen_at, queued_at, changed_at, due_at, diagnosis, etag, receipt_size,
    delivered_at, checksum_kind, checksum, version_id, request_id, proven_by, after_due_at, after_action,
    kept_receipt_at
)
SELECT
    id, route, path, destination, place, plan, key, holds_key,
    CASE state WHEN 'settling' THEN 'changed' ELSE state END, generation, claimed, size, fingerprint, settled_by,
    recheck, attempts, ambiguous, first_seen_at, queued_at, changed_at, due_at, diagnosis, etag, receipt_size,
    delivered_at, checksum_kind, checksum, version_id, request_id, proven_by, after_due_at, after_action,
    kept_receipt_at
FROM files ORDER BY id;

DROP TABLE files;
ALTER TABLE new_files RENAME TO files;
UPDATE tallies SET state = 'changed' WHERE state = 'settling';

CREATE VIEW placed AS SELECT files.*, endpoint, bucket FROM files LEFT JOIN places ON places.id = files.place;

CREATE UNIQUE INDEX files_key ON files (place, key) WHERE holds_key = 1;
CREATE INDEX files_without_key ON files (place, key) WHERE holds_key = 0;
-- Small files and large ones are claimed separately, as are first attempts and repeated ones. 262144 is model.LARGE.
CREATE INDEX files_due ON files (route, plan, size >= 262144, diagnosis IS NOT NULL, due_at) WHERE state = 'pending';
CREATE INDEX files_queued ON files (route, queued_at) WHERE state = 'pending';
CREATE INDEX files_rare ON files (state, route) WHERE state IN ('uploading', 'changed', 'quarantined');
CREATE INDEX files_after ON files (route, after_due_at) WHERE after_due_at IS NOT NULL;
CREATE INDEX files_overdue ON files (route) WHERE after_due_at IS NOT NULL AND after_action IS NOT NULL;

CREATE TRIGGER files_transitions BEFORE UPDATE OF state ON files
WHEN OLD.state <> NEW.state AND NOT CASE OLD.state
    WHEN 'pending' THEN NEW.state IN ('uploading', 'gone', 'quarantined')
    WHEN 'uploading' THEN NEW.state IN ('pending', 'delivered', 'quarantined', 'changed')
    WHEN 'changed' THEN NEW.state IN ('pending', 'gone', 'quarantined')
    WHEN 'delivered' THEN NEW.state IN ('pending', 'quarantined')
    WHEN 'quarantined' THEN NEW.state IN ('pending', 'delivered', 'gone')
    WHEN 'gone' THEN NEW.state IN ('pending', 'quarantined')
END
BEGIN
    SELECT RAISE(ABORT, 'illegal transition');
END;

-- A key that is no longer held is offered to the files that were in conflict over it.
CREATE TRIGGER files_key_freed AFTER UPDATE OF holds_key ON files
WHEN OLD.holds_key = 1 AND NEW.holds_key = 0
BEGIN
    UPDATE files SET recheck = 1
    WHERE holds_key = 0 AND place = OLD.place AND key = OLD.key
        AND state = 'quarantined' AND id <> OLD.id;
END;

CREATE TRIGGER files_counted AFTER INSERT ON files
BEGIN
    INSERT INTO tallies (route, state, files, bytes) VALUES (NEW.route, NEW.state, 1, NEW.size)
    ON CONFLICT (route, state) DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER files_recounted AFTER UPDATE OF state, size ON files
WHEN OLD.state <> NEW.state OR OLD.size <> NEW.size
BEGIN
    UPDATE tallies SET files = files - 1, bytes = bytes - OLD.size
    WHERE route = OLD.route AND state = OLD.state;
    INSERT INTO tallies (route, state, files, bytes) VALUES (NEW.route, NEW.state, 1, NEW.size)
    ON CONFLICT (route, state) DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;
END;
