-- Files that failed before are found apart from those that did not: first tries go before repeated ones, however many of
-- these are due.
DROP INDEX files_due;
CREATE INDEX files_due ON files (route, plan, size >= 262144, diagnosis IS NOT NULL, due_at) WHERE state = 'pending';
