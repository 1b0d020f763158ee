-- A source that could not be deleted or moved stays due. Those that earlier versions gave up are taken up again, but
-- for the ones of a route that was set to keep its sources.
CREATE INDEX files_overdue ON files (route) WHERE after_due_at IS NOT NULL AND after_action IS NOT NULL;
UPDATE files SET after_action = 'kept' WHERE after_action = 'failed' AND diagnosis LIKE '%"AfterUploadKeep"%';
UPDATE files SET after_due_at = delivered_at WHERE after_action = 'failed' AND state = 'delivered';
