"""Deliberate bugs in the outcome of the sources of delivered files."""

from __future__ import annotations

from bugs import SIMULATION, Bug, bug

_REMOVAL, _AFTER = (
    "tests/unit/delivery/test_source_removal.py",
    "tests/unit/delivery/after_upload/test_source_finisher.py",
)
_UNSEEN = "tests/unit/delivery/test_writer_visibility.py"

BUGS = (
    bug(
        "a source is deleted although another route that takes it has not delivered it",
        "delivery/after_upload/other_routes.py",
        "                if state is not State.DELIVERED:\n",
        "                if state is State.GONE:\n",
        SIMULATION,
    ),
    bug(
        "another route's receipt for an earlier state of the file lets its source go",
        "journal/sqlite/reader_sources.py",
        "record.state == State.DELIVERED and (other or not judged) else",
        "record.state == State.DELIVERED and not judged else",
        _AFTER,
    ),
    bug(
        "routes whose roots are spelled by symlinks are not seen to share a file",
        "discovery/ownership.py",
        "                if identity == root if root is not None else ancestors[depth] == missing:",
        "                if ancestors[depth] == os.fsencode(route.path):",
        _AFTER,
    ),
    bug(
        "a link to the file has not been delivered when it loses its target",
        "delivery/after_upload/other_routes.py",
        "                    waiting.setdefault(task.id, _waits(task, route, paths[task.fingerprint], State.PENDING))",
        "                    pass",
        _AFTER,
    ),
    bug(
        "a symlink by which another route has yet to deliver the file is not thought of",
        "discovery/ownership.py",
        "        return links or {}\n",
        "        return {}\n",
        "tests/system/test_shared_tree.py",
    ),
    bug(
        "a file that a program has open for writing is deleted under it",
        "delivery/after_upload/source_verification.py",
        "        if guard.leases.refused_tells:\n",
        "        if source is None:\n",
        _REMOVAL,
    ),
    bug(
        "without leases a file that a program has open for writing is deleted under it",
        "delivery/after_upload/source_verification.py",
        "    if guard.is_open_for_writing(source.descriptor):",
        "    if source is None:",
        _REMOVAL,
    ),
    bug(
        "another user's file is deleted under a writer that can't be seen",
        "delivery/after_upload/source_verification.py",
        "    if not guard.unseen_may_go:\n",
        "    if guard is None:\n",
        _UNSEEN,
    ),
    bug(
        "a lease that is granted lets a file of another machine's writer go",
        "delivery/after_upload/source_verification.py",
        "        if lease is None or not guard.leases.granted_tells:\n",
        "        if lease is None:\n",
        _UNSEEN,
    ),
    bug(
        "on NFSv4 a source stays for ever, since the client has no delegation",
        "delivery/after_upload/writer_visibility.py",
        "refused_tells=kinds <= LOCAL",
        "refused_tells=kinds <= _LEASING",
        _UNSEEN,
    ),
    bug(
        "a source whose writers can't be seen goes after a minute, no matter who has it open",
        "delivery/after_upload/writer_visibility.py",
        "_KEEP_SECONDS.get(settled_by, _QUIET_SECONDS)",
        "_KEEP_SECONDS.get(settled_by, _FINISHED_SECONDS)",
        _AFTER,
    ),
    bug(
        "a file that is written to after one of its writers has closed it counts as closed",
        "discovery/unsettled.py",
        "        candidate.closed = closed\n",
        "        candidate.closed = candidate.closed or closed\n",
        "tests/watching/test_intake.py",
    ),
    bug(
        "a close counts although events were lost since",
        "discovery/unsettled.py",
        "            candidate.closed = False\n",
        "            pass\n",
        "tests/watching/test_intake.py",
    ),
    bug(
        "a clock that is set forward lets a source go before its time",
        "delivery/after_upload/batch_finisher.py",
        "keep_seconds(task.settled_by) + stepped -",
        "keep_seconds(task.settled_by) -",
        _AFTER,
    ),
    bug(
        "a source that waits for its time counts as overdue",
        "delivery/after_upload/batch_finisher.py",
        '            return FinishResult(task, None, _diagnosis("WritersUnseen", error)',
        '            return FinishResult(task, AfterAction.WAITING, _diagnosis("WritersUnseen", error)',
        _AFTER,
    ),
    bug(
        "a writer that comes in the last moment loses what it writes",
        "delivery/after_upload/source_verification.py",
        "== self._identity == now and not self.has_waiting_writer",
        "== self._identity == now",
        _REMOVAL,
    ),
    bug(
        "a program that opens a file while we look at it kills the daemon",
        "files/open_writers.py",
        "            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)\n",
        "",
        _REMOVAL,
    ),
    bug(
        "a file that was written to through a mapping is deleted, its last state unsent",
        "delivery/after_upload/source_verification.py",
        "    if running.checksums() != (expected.checksum,):\n",
        "    if guard is None:\n",
        _REMOVAL,
    ),
    bug(
        "a file with other bytes than were delivered is never sent again",
        "delivery/after_upload/source_finisher.py",
        "        if send_again and diagnosis is not None:",
        "        if send_again and diagnosis is None:",
        _AFTER,
    ),
    bug(
        "passing trouble keeps a source for ever",
        "delivery/after_upload/source_finisher.py",
        "await self._journal.finish_after_task(task, action, diagnosis, due_at)",
        "await self._journal.finish_after_task(task, action, diagnosis, due_at if action is None else None)",
        _AFTER,
    ),
    bug(
        "while its volume is away a source counts as gone, and stays for ever once that is back",
        "delivery/after_upload/batch_finisher.py",
        "        if self._root == here:\n",
        "        if here:\n",
        _AFTER,
    ),
    Bug(
        "a file that took the name in the last moment is deleted, or moved away unsent",
        "delivery/after_upload/source_removal.py",
        (
            ("        if not opened.is_at(directory, removal_name):\n", "        if opened is None:\n"),
            ("            if not opened.is_at(into, taken):\n", "            if opened is None:\n"),
        ),
        _REMOVAL,
    ),
    bug(
        "a file that a crash left set aside stays under a name that nobody looks at",
        "delivery/after_upload/source_removal.py",
        "            if not _finish_deletion(directory, name, expected, guard):\n                raise\n",
        "            raise\n",
        _REMOVAL,
    ),
    bug(
        "moving overwrites what has the name already",
        "files/rename.py",
        "_NOREPLACE = 1\n",
        "_NOREPLACE = 0\n",
        _REMOVAL,
    ),
    bug(
        "without renameat2 moving overwrites what has the name already",
        "files/rename.py",
        "        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)\n",
        "        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)\n        os.link(new_name, name, "
        "src_dir_fd=target, dst_dir_fd=source)\n",
        _REMOVAL,
    ),
    bug(
        "a symlink put in the place of move_to leads files out of the tree",
        "files/move_target.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_DIRECTORY | os.O_CLOEXEC",
        _REMOVAL,
    ),
    bug(
        "a marker that is written for the next file goes with the one before",
        "delivery/after_upload/batch_finisher.py",
        "            self._remove(root, ExpectedSource(*marker, None, expected.stamp), guard)\n",
        "            marker = self._marker_of(root, task) or marker\n"
        "            self._remove(root, ExpectedSource(*marker, None, expected.stamp), guard)\n",
        _AFTER,
    ),
    bug(
        "a symlink in state_dir has root's check write to another file",
        "trust/saved_capabilities.py",
        "    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "    os.close(os.open(_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=directory))\n"
        "    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "tests/unit/trust/test_saved_capabilities.py",
    ),
    bug(
        "root's check leaves files behind in the daemon's state_dir",
        "trust/saved_capabilities.py",
        "        if os.fstat(directory).st_uid == os.geteuid():",
        "        if directory:",
        "tests/unit/trust/test_saved_capabilities.py",
    ),
    bug(
        "the journal is delivered through a bind mount or a link that nobody foresaw",
        "discovery/tree_scan.py",
        "        if directory.length and identity_of(status) in self._own.paths.directories:",
        "        if directory.length and directory.path in self._own.below:",
        "tests/unit/files/test_own_paths.py",
    ),
    bug(
        "our own log is delivered, line by line, for ever",
        "discovery/tree_scan.py",
        "        if self._own.paths.logs and identity_of(status) in self._own.paths.logs:",
        "        if self._own.paths.logs and status is None:",
        "tests/unit/files/test_own_paths.py",
    ),
    bug(
        "a state_dir inside a root is not seen through a symlink",
        "config/directory_nesting.py",
        "return directory in inner.names or outer.identity in inner.identities",
        "return False",
        "tests/unit/files/test_own_paths.py",
    ),
)
