-- Why a file counted as at rest: `explain` says so of one that never stood still.
ALTER TABLE files ADD COLUMN settled_by TEXT;

-- Each route's sources are deleted or moved by themselves: one that hangs holds up no other.
DROP INDEX files_after;
CREATE INDEX files_after ON files (route, after_due_at) WHERE after_due_at IS NOT NULL;
