-- A journal of schema version 9, as a kill left it: a file in each state.
BEGIN TRANSACTION;
CREATE TABLE abandoned (
    place INTEGER NOT NULL,
    key TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    file INTEGER NOT NULL,
    -- The claim that may be at it still.
    claimed INTEGER,
    due_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (place, key, upload_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "abandoned" VALUES(1,'in parts before','upload-0',3,NULL,1790000000.0,0);
CREATE TABLE destinations (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    retry_at REAL,
    credentials_expire_at REAL,
    last_error TEXT,
    checksum_kind TEXT
) STRICT;
INSERT INTO "destinations" VALUES('partner','ready',NULL,NULL,NULL,'CRC64NVME');
CREATE TABLE "files" (
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
INSERT INTO "files" VALUES(1,'r',X'77616974696E67','partner',1,1,'waiting',1,'pending',1,NULL,100,'{fingerprint of waiting}','quiet',0,1,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,'{"kind": "throttled", "code": "SlowDown", "message": "please slow down", "operation": "PutObject", "status": 503, "request_id": "request-7", "advice": "", "retry_after": null, "ambiguous": false}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(2,'r',X'756E64657220776179','partner',1,1,'under way',1,'uploading',1,1,101,'{fingerprint of under way}','quiet',0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(3,'r',X'696E207061727473','partner',1,1,'in parts',1,'uploading',1,1,102,'{fingerprint of in parts}','quiet',0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(4,'r',X'726573746C657373','partner',1,1,'restless',1,'changed',1,NULL,103,'{fingerprint of restless}',NULL,0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(5,'r',X'73656E74','partner',1,1,'sent',1,'delivered',1,NULL,104,'{fingerprint of sent}','quiet',0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,NULL,'"etag"',4,1000005.0,'CRC64NVME','AAAAAAAAAAA=','version-1','request-1','head',NULL,NULL,NULL);
INSERT INTO "files" VALUES(6,'r',X'736574206173696465','partner',1,1,'set aside',1,'quarantined',1,NULL,105,'{fingerprint of set aside}',NULL,0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,'{"kind": "file", "code": "KeyTooLongError", "message": "the key is too long", "operation": "PutObject", "status": 400, "request_id": "request-8", "advice": "", "retry_after": null, "ambiguous": false}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "files" VALUES(7,'r',X'76616E6973686564','partner',1,1,'vanished',0,'gone',1,NULL,106,'{fingerprint of vanished}',NULL,0,0,0,1790000000.0,1790000000.0,1790000000.0,1790000000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE multiparts (
    file INTEGER PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    upload_id TEXT NOT NULL,
    key TEXT NOT NULL,
    part_size INTEGER NOT NULL,
    checksum_kind TEXT NOT NULL
) STRICT;
INSERT INTO "multiparts" VALUES(3,'upload-1','in parts',5242880,'CRC64NVME');
CREATE TABLE parts (
    file INTEGER NOT NULL REFERENCES multiparts (file) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum_kind TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (file, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "parts" VALUES(3,1,8,'"etag-1"','CRC64NVME','sum-1');
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    bucket TEXT NOT NULL,
    UNIQUE (endpoint, bucket)
) STRICT;
INSERT INTO "places" VALUES(1,'{endpoint}','{bucket}');
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
INSERT INTO "plans" VALUES(1,'r','a digest of before',1,X'2F737276',0,1);
CREATE TABLE routes (
    name TEXT PRIMARY KEY,
    watcher TEXT NOT NULL,
    last_scan_at REAL,
    last_scan_seconds REAL,
    lost_events INTEGER NOT NULL,
    settling INTEGER NOT NULL
) STRICT;
INSERT INTO "routes" VALUES('r','watching',1790000000.0,0.5,0,0);
CREATE TABLE tallies (
    route TEXT NOT NULL,
    state TEXT NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (route, state)
) STRICT, WITHOUT ROWID;
INSERT INTO "tallies" VALUES('r','changed',1,103);
INSERT INTO "tallies" VALUES('r','delivered',1,104);
INSERT INTO "tallies" VALUES('r','gone',1,106);
INSERT INTO "tallies" VALUES('r','pending',1,100);
INSERT INTO "tallies" VALUES('r','quarantined',1,105);
INSERT INTO "tallies" VALUES('r','uploading',2,203);
CREATE VIEW placed AS SELECT files.*, endpoint, bucket FROM files LEFT JOIN places ON places.id = files.place;
CREATE UNIQUE INDEX files_key ON files (place, key) WHERE holds_key = 1;
CREATE INDEX files_without_key ON files (place, key) WHERE holds_key = 0;
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
PRAGMA user_version=9;
COMMIT;
