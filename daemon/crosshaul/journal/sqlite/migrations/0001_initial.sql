-- The states and moves here are those of crosshaul.model; a test holds the two together.

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    path BLOB NOT NULL,
    destination TEXT NOT NULL,
    key TEXT NOT NULL,
    -- Whether the key is this file's own: not if it was refused, is in conflict, or is gone.
    holds_key INTEGER NOT NULL CHECK (holds_key IN (0, 1)),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'uploading', 'settling', 'delivered', 'quarantined', 'gone')),
    generation INTEGER NOT NULL CHECK (generation > 0),
    -- The generation that the transfer loop holds; older than `generation` means that the file changed meanwhile.
    claimed INTEGER CHECK (claimed <= generation),
    size INTEGER NOT NULL,
    -- Text, because times after the year 2262 and some inode numbers don't fit SQLite's integers.
    fingerprint TEXT NOT NULL,
    -- The reason for its quarantine may have passed: intake judges it anew at the next scan.
    recheck INTEGER NOT NULL DEFAULT 0 CHECK (recheck IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0 CHECK (ambiguous IN (0, 1)),
    first_seen_at REAL NOT NULL,
    queued_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    due_at REAL NOT NULL,
    diagnosis TEXT,
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
    CHECK (holds_key = 1 OR state NOT IN ('pending', 'delivered')),
    CHECK (holds_key = 0 OR state <> 'gone')
) STRICT;

CREATE UNIQUE INDEX files_key ON files (destination, key) WHERE holds_key = 1;
CREATE INDEX files_without_key ON files (destination, key) WHERE holds_key = 0;
CREATE INDEX files_due ON files (route, due_at) WHERE state = 'pending';
CREATE INDEX files_queued ON files (route, queued_at) WHERE state = 'pending';
CREATE INDEX files_rare ON files (state, route) WHERE state IN ('uploading', 'settling', 'quarantined');
CREATE INDEX files_after ON files (after_due_at) WHERE after_due_at IS NOT NULL;

CREATE TRIGGER files_moves BEFORE UPDATE OF state ON files
WHEN OLD.state <> NEW.state AND NOT CASE OLD.state
    WHEN 'pending' THEN NEW.state IN ('uploading', 'gone', 'quarantined')
    WHEN 'uploading' THEN NEW.state IN ('pending', 'delivered', 'quarantined', 'settling')
    WHEN 'settling' THEN NEW.state IN ('pending', 'gone', 'quarantined')
    WHEN 'delivered' THEN NEW.state IN ('pending', 'quarantined')
    WHEN 'quarantined' THEN NEW.state IN ('pending', 'gone')
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
    WHERE holds_key = 0 AND destination = OLD.destination AND key = OLD.key
        AND state = 'quarantined' AND id <> OLD.id;
END;

-- Counts, so that nobody has to count a million rows each second.
CREATE TABLE tallies (
    route TEXT NOT NULL,
    state TEXT NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (route, state)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE multiparts (
    file INTEGER PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    upload_id TEXT NOT NULL,
    key TEXT NOT NULL,
    part_size INTEGER NOT NULL,
    checksum_kind TEXT NOT NULL
) STRICT;

CREATE TABLE parts (
    file INTEGER NOT NULL REFERENCES multiparts (file) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum_kind TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (file, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE destinations (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    retry_at REAL,
    credentials_expire_at REAL,
    last_error TEXT,
    checksum_kind TEXT
) STRICT;

CREATE TABLE routes (
    name TEXT PRIMARY KEY,
    watcher TEXT NOT NULL,
    last_scan_at REAL,
    last_scan_seconds REAL,
    lost_events INTEGER NOT NULL,
    settling INTEGER NOT NULL
) STRICT;
