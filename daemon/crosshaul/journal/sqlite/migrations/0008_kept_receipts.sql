-- A delivered file of which only the ctime changed (chmod, a hard link) keeps its receipt until its bytes are compared
-- with it: when S3 gave it. Not null only while nothing has been sent to the key since.
ALTER TABLE files ADD COLUMN kept_receipt_at REAL;
