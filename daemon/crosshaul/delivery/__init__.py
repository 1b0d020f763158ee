"""Send queued files to the bucket, and prove that they arrived."""
