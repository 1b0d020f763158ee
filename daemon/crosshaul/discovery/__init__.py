"""Find files that are finished, and queue them in the journal."""
