-- Uploads in parts that nobody completes any more, since their file changed, went, or has no route: to be aborted in the
-- bucket, or their parts are paid for until its lifecycle rule takes them.
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
