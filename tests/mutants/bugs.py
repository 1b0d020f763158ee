"""Deliberate bugs, as data: each could come with a careless change, and a test must catch each."""

from __future__ import annotations

from dataclasses import dataclass

SIMULATION = "simulation"
"""Caught by the seeds of ``make simulate``; anything else is a path for pytest."""


@dataclass(frozen=True)
class Bug:
    """The effect on users, the file (below daemon/crosshaul), the texts to replace, and the test that must catch it."""

    harm: str
    file: str
    edits: tuple[tuple[str, str], ...]
    caught_by: str = SIMULATION


def bug(harm: str, file: str, old: str, new: str, caught_by: str = SIMULATION) -> Bug:
    """A bug of one edit."""
    return Bug(harm, file, ((old, new),), caught_by)


BUGS = (
    # What is sent
    bug(
        "a small file that is written to while it is read lands torn",
        "files/claimed_file.py",
        "        data = source.read(0, size)\n        source.unchanged()\n",
        "        data = source.read(0, size)\n",
        "tests/unit/files/test_reader.py",
    ),
    bug(
        "a large file that is written to while it is read lands torn",
        "files/source_file.py",
        "        if Fingerprint.of(os.fstat(self._descriptor)) != self.fingerprint:\n",
        "        if not self.fingerprint:\n",
    ),
    bug(
        "a file that changed before it was opened is sent cut to its old size",
        "files/claimed_file.py",
        "if source.fingerprint != claim.fingerprint:",
        "if source is None:",
    ),
    bug(
        "whatever lies under the key counts as delivered",
        "delivery/existing_object.py",
        "if head.token == token_of(claim):",
        "if held is not None:",
    ),
    bug(
        "an object that the store garbled counts as delivered when it is met again",
        "delivery/existing_object.py",
        "damaged = not same_size or not await _may_be_equal(claim, head, context, sent)",
        "damaged = not same_size",
        "tests/state/test_lost_journal.py",
    ),
    bug(
        "memory is not given back after a part failed, until nothing moves",
        "delivery/multipart.py",
        "                    memory.end()\n                    break\n",
        "                    break\n",
    ),
    Bug(
        "memory is not given back after a part was sent, until nothing moves",
        "delivery/multipart.py",
        (
            ("                task.add_done_callback(memory.end)\n", "                assert task\n"),
            ("            memory.end()  # before the journal call, so that the next part can start\n", ""),
        ),
    ),
    Bug(
        "a part is read into the memory of one that is being sent",
        "delivery/multipart.py",
        (
            (
                "            finally:\n                self._context.buffers.give(buffer)\n",
                "            finally:\n                pass\n",
            ),
            (
                "            buffer = self._context.buffers.take(size)\n",
                (
                    "            buffer = self._context.buffers.take(size)\n"
                    "            self._context.buffers.give(buffer)\n"
                ),
            ),
        ),
        "tests/faults/test_delivery.py",
    ),
    bug(
        "files wait for ever when the one that fetched them was cancelled",
        "files/reader.py",
        "                self._next_fetch = _Fetch()\n            mine.over.set()\n",
        "                self._next_fetch = _Fetch()\n",
        "tests/unit/files/test_reader.py",
    ),
    bug(
        "anyone who cuts the line can shorten an answer",
        "aws/http1/tls.py",
        "            self._incoming.write_eof()\n",
        "            self._tls = self._tls.unwrap() or self._tls\n",
        "tests/unit/aws/test_http1_tls.py",
    ),
    bug(
        "the last, shorter part is asked for in full length",
        "delivery/multipart.py",
        "return min(self._multipart.part_size, self._claim.fingerprint.size - offset)",
        "return self._multipart.part_size or offset",
    ),
    bug(
        "files of more than 10,000 parts can't be sent",
        "delivery/multipart.py",
        "minimum = -(-size // _MAX_PARTS)",
        "minimum = 0 * size",
        "tests/properties/test_upload_properties.py",
    ),
    bug(
        "more bytes are held than memory_limit",
        "concurrency/semaphore.py",
        "self.used == 0 or self.used + amount <=",
        "self.used >=",
    ),
    bug(
        "what is larger than memory_limit waits for ever",
        "concurrency/semaphore.py",
        "self.used == 0 or self.used + amount",
        "self.used + amount",
        "tests/unit/concurrency/test_semaphore.py",
    ),
    # What is believed
    bug(
        "S3's word about what it holds is not looked at",
        "integrity/verify.py",
        "    if sent != returned:",
        "    if not returned:",
    ),
    bug(
        "a rewrite in the same size is taken for the state that was sent",
        "integrity/verify.py",
        'f"{print_.size}\\0{print_.mtime_ns}\\0{print_.ctime_ns}\\0{print_.inode}\\0{claim.key}\\0"',
        'f"{print_.size}\\0{claim.key}\\0"',
    ),
    bug(
        "an ETag that says otherwise is not looked at",
        "integrity/verify.py",
        "return md5_hex(whole) == self.etag",
        "return bool(whole)",
        "tests/state/test_lost_journal.py",
    ),
    bug(
        "a checksum that the store does not know is asked for again and again",
        "integrity/negotiation.py",
        "        self._index += 1\n",
        "        self._index += 0\n",
        "tests/unit/integrity/test_negotiation.py",
    ),
    bug(
        "a proxy's page that comes with a 200 counts as S3's word",
        "aws/upload_client.py",
        'if response.status != 200 or not 0 < len(response.headers.get("etag", "")) <= returned_ids.MAX_CHARACTERS:',
        "if response.status != 200:",
        "tests/lies -k PutObject",
    ),
    bug(
        "any web server's 200 with an ETag counts as delivered, for as long as the store's checksum is not known",
        "aws/bucket.py",
        "        if not proves_storage(payload.checksums, response):\n",
        "        if not payload.checksums:\n",
        "tests/lies -k stranger",
    ),
    bug(
        "whatever HEAD finds is taken for what was just sent",
        "aws/bucket.py",
        "(head.token, head.size) != (token, payload.size)",
        "head.size < 0",
        "tests/lies -k older_state",
    ),
    bug(
        "a huge page with a 403 is taken for trouble of the network",
        "aws/http1/reader.py",
        "if self._status < _MIN_ERROR_STATUS:",
        "if self._status:",
        "tests/lies -k huge_page",
    ),
    # The journal
    bug(
        "a change while the file was sent is lost",
        "journal/sqlite/outcomes.py",
        "if record.generation != claim.generation:",
        "if record.generation < 0:",
    ),
    bug(
        "a changed file keeps its generation, so that a stale upload delivers it",
        "journal/sqlite/queries/intake.sql",
        "generation = generation + 1",
        "generation = generation + 0",
    ),
    bug(
        "a changed file's source is deleted on the receipt of its old state",
        "journal/sqlite/queries/intake.sql",
        "kept_receipt_at), NULL),\n    after_due_at = NULL, after_action = NULL",
        "kept_receipt_at), NULL)",
    ),
    bug(
        "a changed file continues with the parts of its old state",
        "journal/sqlite/admission.py",
        "    changes.restarted.append(record.id)\n",
        "",
    ),
    bug(
        "a file found changed when it was to be sent is never looked at again",
        "journal/sqlite/queries/reading.sql",
        "AND state NOT IN ('changed', 'gone')",
        "AND state NOT IN ('gone')",
        "tests/contract",
    ),
    bug(
        "a file that went and came back as it was is never sent",
        "journal/sqlite/queries/reading.sql",
        "AND state NOT IN ('changed', 'gone')",
        "AND state NOT IN ('changed')",
        "tests/contract",
    ),
    bug(
        "what was under way at a crash stays so for ever",
        "journal/sqlite/queries/recovery.sql",
        "WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'\n\n",
        "WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'gone'\n\n",
        "tests/contract",
    ),
    bug(
        "after a crash nobody asks whether the upload had succeeded",
        "journal/sqlite/queries/recovery.sql",
        "    ambiguous = ambiguous OR claimed = generation, claimed = NULL, changed_at = ?1, due_at = min(due_at, ?1)\n"
        "WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'\n\n",
        "    claimed = NULL, changed_at = ?1, due_at = min(due_at, ?1)\n"
        "WHERE state IN ('uploading', 'changed', 'quarantined') AND state = 'uploading'\n\n",
        "tests/contract",
    ),
    bug(
        "a file that disappeared takes the receipt of its delivery along",
        "journal/sqlite/queries/intake.sql",
        "WHERE route = ? AND path = ? AND state IN ('pending', 'changed', 'quarantined')",
        "WHERE route = ? AND path = ? AND state <> 'uploading'",
        "tests/contract",
    ),
    bug(
        "two files take one key, and the later overwrites the earlier",
        "journal/sqlite/key_assignment.py",
        "        if (holder.route, holder.path) == (sighting.route, sighting.path):\n",
        "        if holder:\n",
        "tests/contract",
    ),
    bug(
        "a commit is not on disk when it is answered, and a power cut takes it back",
        "journal/sqlite/connect.py",
        '"synchronous = FULL",',
        '"synchronous = OFF",',
        "tests/unit/journal/test_migrate.py",
    ),
    bug(
        "anyone who waits hears of success before it is committed, also when it never is",
        "journal/sqlite/write_batch.py",
        "            self._fail(units, storage_error(self._database, error))\n",
        "            self._fail([], storage_error(self._database, error))\n",
        "tests/unit/journal/test_writer.py",
    ),
    bug(
        "a second daemon takes the same journal",
        "journal/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "tests/system/test_crash.py -k second_instance",
    ),
    # What is found
    bug(
        "a file is taken while it is being written",
        "discovery/settle.py",
        "if now - candidate.still_since >= self._quiet:",
        "if now - candidate.still_since >= 0:",
        "tests/unit/discovery/test_settle.py",
    ),
    bug(
        "a file that never rests is never sent",
        "discovery/settle.py",
        "if now - candidate.first_seen >= self._max_wait else None",
        "if now - candidate.first_seen >= self._max_wait * 1e9 else None",
        "tests/unit/discovery/test_settle.py",
    ),
    bug(
        "a rewritten file counts as renamed, and is taken at once",
        "discovery/unsettled.py",
        "return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)",
        "return one.inode == other.inode",
        "tests/unit/discovery/test_settle.py tests/watching/test_intake.py",
    ),
    bug(
        "what the kernel did not tell is never found",
        "discovery/rescans.py",
        "await wait_any(self._wanted.wait(), clock.sleep(context.route.rescan_interval))",
        "await wait_any(self._wanted.wait())",
    ),
    bug(
        "events that were lost are only counted",
        "discovery/hint_inbox.py",
        "        self._status.events_lost(count)\n        self.request_scan()\n",
        "        self._status.events_lost(count)\n",
        "tests/watching/test_intake.py",
    ),
    bug(
        "an overflow of the kernel's queue is not reported",
        "discovery/watch/inotify.py",
        "self._listener.on_events_lost(1)",
        "pass",
        "tests/watching/test_watch.py",
    ),
    bug(
        "a file in small pieces has the loop read each of them",
        "discovery/watch/inotify.py",
        "if self._read_events() < _READ_BYTES // 2:",
        "if not self._read_events():",
        "tests/watching/test_watch.py",
    ),
    bug(
        "a file that is written to all the time is looked at all the time",
        "discovery/hint_inbox.py",
        "if queued and kind not in",
        "if not path and kind not in",
        "tests/watching/test_intake.py",
    ),
    bug(
        "a file that is closed is sent half-written, although nobody asked for that",
        "discovery/hint_inbox.py",
        "if close_write else {EventKind.RENAMED}",
        "if context else {EventKind.RENAMED}",
        "tests/watching/test_intake.py",
    ),
    bug(
        "hung roots take the threads that all share",
        "discovery/watch/watcher.py",
        "await self._threads.run(_identity, self._root)",
        "await asyncio.to_thread(_identity, self._root)",
        "tests/outages/test_isolation.py",
    ),
    bug(
        "files in new directories wait for the next walk",
        "discovery/rescans.py",
        "            self._directory_added.set()\n",
        "",
        "tests/watching/test_intake.py",
    ),
    bug(
        "an empty mount point makes every waiting file count as deleted",
        "discovery/scanner.py",
        "if self._scanned_root not in {None, (root.device, root.inode)}:",
        "if self._scanned_root == ():",
        "tests/unit/discovery/test_scanner.py tests/watching/test_intake.py",
    ),
    bug(
        "the last files of a scan are not seen",
        "discovery/tree_scan.py",
        "            yield self._batch\n        finally:",
        "            yield ScanBatch()\n        finally:",
    ),
    bug(
        "a directory that can't be read ends the scan",
        "discovery/tree_scan.py",
        "        except OSError as error:\n            self._report(directory.path, error)\n",
        "        except KeyError as error:\n            self._report(directory.path, OSError(str(error)))\n",
        "tests/unit/discovery/test_scanner.py",
    ),
    # The sources
    bug(
        "a file that changed after its delivery is deleted or moved away as delivered",
        "delivery/after_upload/source_verification.py",
        "    if fingerprint != expected.fingerprint and not (same and expected.checksum is not None):",
        "    if not fingerprint:",
        "tests/unit/delivery/test_source_removal.py",
    ),
    bug(
        "a symlink put in a file's place sends something outside the root",
        "files/source_file.py",
        "_READ = os.O_RDONLY | os.O_NOFOLLOW |",
        "_READ = os.O_RDONLY |",
        "tests/unit/files/test_root.py",
    ),
    bug(
        "a symlink put in a directory's place sends something outside the root",
        "files/root.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_DIRECTORY | os.O_CLOEXEC",
        "tests/unit/files/test_root.py",
    ),
    bug(
        "a FIFO in the watched directory blocks a thread for ever",
        "files/source_file.py",
        "os.O_NONBLOCK | ",
        "",
        "tests/unit/files/test_root.py",
    ),
    # Attribution of faults, and retries
    bug(
        "credentials are used after their end",
        "aws/refresher.py",
        "return self.end - min(60.0, (self.end - self.start) / 15)",
        "return self.end + 60.0",
    ),
    bug(
        "a wrong clock stretches a session",
        "aws/refresher.py",
        "parsedate_to_datetime(date).timestamp() + 1 if date else clock.now()",
        "clock.now()",
        "tests/unit/aws/test_refresher.py",
    ),
    bug(
        "only the first of two external IDs is tried",
        "aws/refresher.py",
        'if number == len(external_ids) or fault.diagnosis.code != "AccessDenied":',
        "if number:",
        "tests/unit/aws/test_refresher.py",
    ),
    bug(
        "a long partition sets files aside",
        "delivery/retry.py",
        "if exhausted and _may_quarantine(diagnosis):",
        "if exhausted:",
        "tests/unit/delivery/test_retry.py",
    ),
    bug(
        "after the clock was set back by a day everything waits for a day",
        "delivery/dispatcher.py",
        "            await self._journal.make_due(self.routes)\n",
        "            pass\n",
    ),
    bug(
        "an account that refuses sets every file aside instead of being parked",
        "delivery/retry.py",
        "return diagnosis.kind in _DESTINATION_KINDS\n",
        "return False\n",
        "tests/unit/delivery/test_retry.py tests/faults/test_delivery.py",
    ),
    bug(
        "a parked destination is stormed",
        "delivery/dispatcher.py",
        "(self._claim_canaries(small, large) if self._breaker.tripped else self._fill(small, large))",
        "self._fill(small, large)",
        "tests/system/test_parking.py tests/faults/test_delivery.py",
    ),
    bug(
        "after a parking the places of what was put back are never free again",
        "delivery/lookahead.py",
        "            self.claimed -= 1\n            yield claim\n",
        "            yield claim\n",
    ),
    bug(
        "an error of a kind nobody thought of in one file ends them all",
        "delivery/attempt.py",
        "        except Exception as error:  # noqa: BLE001 - an unforeseen error",
        "        except ZeroDivisionError as error:  # noqa: BLE001 - an unforeseen error",
        "tests/faults/test_delivery.py",
    ),
    bug(
        "S3's push-back is ignored",
        "delivery/outcome_mapping.py",
        "            self._limit.pushed_back(now)\n",
        "            pass\n",
        "tests/faults/test_delivery.py",
    ),
    # Reports
    bug(
        "the pages are open beyond loopback",
        "config/http_server.py",
        "tokens == [None, None]:",
        "tokens == []:",
        "tests/unit/config/test_config.py",
    ),
    bug(
        "anyone who asks without the token is answered",
        "telemetry/web/guard.py",
        "if not request[TRUSTED] and",
        "if False and",
        "tests/unit/telemetry/test_web.py",
    ),
    bug(
        "a web page reaches in by rebinding its name",
        "telemetry/web/server.py",
        "*([by_local_name(host)] if local else [])",
        "*()",
        "tests/unit/telemetry/test_web.py",
    ),
    bug(
        "the monitor hears that all is well while it is not",
        "telemetry/heartbeat.py",
        "        if not verdict.ok:\n",
        "        if False:\n",
        "tests/unit/telemetry/test_heartbeat.py",
    ),
    bug(
        "a partner that does not answer looks like a delivery under way",
        "delivery/reporter.py",
        "        if streak == _FAILING_AFTER:\n",
        "        if False:\n",
        "tests/unit/delivery/test_reporter.py",
    ),
    bug(
        "a destination that is gone pages for ever",
        "telemetry/metric_registry.py",
        "series.remove_by_labels({label: value})",
        "pass",
        "tests/unit/telemetry/test_metrics.py",
    ),
    bug(
        "a file's name is markup",
        "telemetry/web/page.py",
        "    autoescape=True,\n",
        "    autoescape=False,\n",
        "tests/unit/telemetry/test_web.py",
    ),
)
