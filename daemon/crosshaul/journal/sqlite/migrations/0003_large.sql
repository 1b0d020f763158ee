-- Small files and large ones are claimed apart, so that none waits for the other kind. 262144 is model.LARGE.
DROP INDEX files_due;
CREATE INDEX files_due ON files (route, size >= 262144, due_at) WHERE state = 'pending';
