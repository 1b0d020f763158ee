-- A key is held in a place (a bucket at an endpoint) rather than under a destination's name, and each record says which
-- plan (all of the configuration that decides whether and where a route's file goes) it was judged under.

CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    bucket TEXT NOT NULL,
    UNIQUE (endpoint, bucket)
) STRICT;

-- Which bucket an older record's receipt is of was not written down: the first start finds the place of the
-- destination's name in the configuration, and puts it in here.
INSERT INTO places (endpoint, bucket) SELECT DISTINCT '', destination FROM files;

CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    digest TEXT NOT NULL,
    place INTEGER NOT NULL REFERENCES places (id),
    -- The watched directory.
    root BLOB NOT NULL,
    -- Whether the key tells the content, so that files of one key are equal.
    by_content INTEGER NOT NULL CHECK (by_content IN (0, 1)),
    -- Whether the configuration has it now; one plan of a route at the most.
    in_force INTEGER NOT NULL CHECK (in_force IN (0, 1)),
    UNIQUE (route, digest)
) STRICT;

CREATE TABLE placed_files (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    path BLOB NOT NULL,
    destination TEXT NOT NULL,
    -- 0 in both: none is known.
    place INTEGER NOT NULL DEFAULT 0,
    plan INTEGER NOT NULL DEFAULT 0,
    key TEXT NOT NULL,
    -- Whether the key is this file's own (1), shared with files of equal content (2), or not held (0): not if it was
    -- refused, is in conflict, is gone, or went to another file after this one's source had gone.
    holds_key INTEGER NOT NULL CHECK (holds_key IN (0, 1, 2)),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'uploading', 'settling', 'delivered', 'quarantined', 'gone')),
    generation INTEGER NOT NULL CHECK (generation > 0),
    -- The generation that the transfer loop holds; older than `generation` means that the file changed meanwhile.
    claimed INTEGER CHECK (claimed <= generation),
    size INTEGER NOT NULL,
    -- Text, because times after the year 2262 and some inode numbers don't fit SQLite's integers.
    fingerprint TEXT NOT NULL,
    -- Why a file counted as at rest: `explain` says so of one that never stood still.
    settled_by TEXT,
    -- What was decided of it may not hold any more: intake judges it anew when it is next seen.
    recheck INTEGER NOT NULL DEFAULT 0 CHECK (recheck IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0 CHECK (ambiguous IN (0, 1)),
    first_seen_at REAL NOT NULL,
    queued_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    due_at REAL NOT NULL,
    diagnosis TEXT,
    -- The receipt. Without delivered_at it is the one of the state before, under the same key of the same place.
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
    UNIQUE (route, path),
    CHECK ((state = 'uploading') = (claimed IS NOT NULL)),
    CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK (state = 'delivered' OR after_due_at IS NULL),
    CHECK (holds_key > 0 OR state <> 'pending'),
    CHECK (holds_key = 0 OR state <> 'gone')
) STRICT;

INSERT INTO placed_files (
    id, route, path, destination, place, plan, key, holds_key, state, generation, claimed, size, fingerprint, settled_by,
    recheck, attempts, ambiguous, first_seen_at, queued_at, changed_at, due_at, diagnosis, etag, receipt_size,
    delivered_at, checksum_kind, checksum, version_id, request_id, proven_by, after_due_at, after_action
)
SELECT
    files.id, route, path, destination, places.id, 0, key, holds_key, state, generation, claimed, size, fingerprint,
    settled_by, recheck, attempts, ambiguous, first_seen_at, queued_at, changed_at, due_at, diagnosis, etag,
    receipt_size, delivered_at, checksum_kind, checksum, version_id, request_id, proven_by, after_due_at, after_action
FROM files JOIN places ON places.endpoint = '' AND places.bucket = files.destination;

DROP TABLE files;
ALTER TABLE placed_files RENAME TO files;

CREATE VIEW placed AS SELECT files.*, endpoint, bucket FROM files LEFT JOIN places ON places.id = files.place;

CREATE UNIQUE INDEX files_key ON files (place, key) WHERE holds_key = 1;
CREATE INDEX files_without_key ON files (place, key) WHERE holds_key = 0;
-- Small files and large ones are claimed apart, so that none waits for the other kind. 262144 is model.LARGE.
CREATE INDEX files_due ON files (route, plan, size >= 262144, due_at) WHERE state = 'pending';
CREATE INDEX files_queued ON files (route, queued_at) WHERE state = 'pending';
CREATE INDEX files_rare ON files (state, route) WHERE state IN ('uploading', 'settling', 'quarantined');
-- Each route's sources are deleted or moved by themselves: one that hangs holds up no other.
CREATE INDEX files_after ON files (route, after_due_at) WHERE after_due_at IS NOT NULL;

CREATE TRIGGER files_moves BEFORE UPDATE OF state ON files
WHEN OLD.state <> NEW.state AND NOT CASE OLD.state
    WHEN 'pending' THEN NEW.state IN ('uploading', 'gone', 'quarantined')
    WHEN 'uploading' THEN NEW.state IN ('pending', 'delivered', 'quarantined', 'settling')
    WHEN 'settling' THEN NEW.state IN ('pending', 'gone', 'quarantined')
    WHEN 'delivered' THEN NEW.state IN ('pending', 'quarantined')
    WHEN 'quarantined' THEN NEW.state IN ('pending', 'delivered', 'gone')
    WHEN 'gone' THEN NEW.state IN ('pending', 'quarantined')
END
BEGIN
    SELECT RAISE(ABORT, 'illegal move');
END;

-- A key that becomes free is offered to those that were in conflict over it.
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
