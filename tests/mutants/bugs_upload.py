"""Deliberate bugs in the treatment of existing objects, and in uploads."""

from __future__ import annotations

from bugs import Bug, bug

_FOREIGN = "tests/faults/test_foreign_objects.py"

_RESTLESS = "tests/faults/test_never_at_rest.py"
_HUGE = "tests/faults/test_huge_files.py"
_LATE = "tests/faults/test_late_writes.py"

BUGS: tuple[Bug, ...] = (
    bug(
        "a store that wants signed payloads takes nothing over TLS",
        "aws/bucket.py",
        "        return await _hashed(payload)\n",
        "        raise fault\n",
        "tests/lies/test_unsigned.py",
    ),
    # Huge files
    bug(
        "a sparse file of terabytes takes gigabytes of memory",
        "delivery/multipart.py",
        "return size > max(CHUNK_BYTES, self._context.memory.capacity)",
        "return size > max(5 << 30, self._context.memory.capacity)",
        f"{_HUGE} -k larger_than_memory",
    ),
    bug(
        "multipart_threshold lets one file take more than memory_limit",
        "delivery/upload_context.py",
        "return size >= self.sizes.multipart_threshold or (claim.large and size > self.memory.capacity)",
        "return size >= self.sizes.multipart_threshold",
        f"{_HUGE} -k below_the_threshold",
    ),
    bug(
        "an upload of what S3 can't take is begun",
        "delivery/upload.py",
        "    if claim.fingerprint.size > MAX_OBJECT_BYTES:\n",
        "    if claim.fingerprint.size < 0:\n",
        f"{_HUGE} -k can_t_take",
    ),
    # Files that never rest
    bug(
        "a file that is appended to for ever is never delivered",
        "journal/sqlite/queries/transfer.sql",
        "    settled_by = 'ceiling'\n",
        "    settled_by = 'never'\n",
        f"{_RESTLESS} -k appended",
    ),
    bug(
        "a file that is rewritten while it is sent lands as a mixture of two states",
        "files/growing_prefix.py",
        "        if running.checksums()[0].value != self._sums[offset // self._block]:\n",
        "        if not running:\n",
        f"{_RESTLESS} -k rewritten_for_ever",
    ),
    bug(
        "a part of an older state stays in what is sent",
        "delivery/multipart.py",
        "return compute(part.checksum.kind, data) == part.checksum",
        "return bool(data)",
        f"{_RESTLESS} -k interrupted",
    ),
    bug(
        "a file that can't be sent is sent repeatedly",
        "files/growing_prefix.py",
        "return self._files.get((claim.route, claim.path), (0, now))[1] > now",
        "return now < 0",
        f"{_RESTLESS} -k rewritten_for_ever",
    ),
    # Writes that come late
    bug(
        "an older state that comes late replaces the newer one, whose source is then deleted",
        "delivery/upload.py",
        "condition: Condition | None = self._first_condition()",
        "condition: Condition | None = None",
        f"{_LATE} -k replaces_nothing",
    ),
    bug(
        "a role that may only put is parked by the first change of a file",
        "delivery/upload.py",
        '_MISSING_CODES = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})',
        '_MISSING_CODES = frozenset({"NoSuchKey", "404"})',
        f"{_LATE} -k may_only_put",
    ),
    bug(
        "each state of a file whose objects the partner takes away is sent twice",
        "delivery/upload.py",
        "                    self._context.conditions.taken_away = True\n",
        "                    pass\n",
        f"{_LATE} -k takes_away",
    ),
    bug(
        "parts are all sent again when somebody else wrote the key meanwhile",
        "delivery/multipart.py",
        "        if not self._sent:\n            await self._send()\n",
        "        await self._send()\n",
        f"{_LATE} -k somebody_else",
    ),
    bug(
        "a check writes over a user's object",
        "trust/steps/upload.py",
        "        if head is not None and head.token != TOKEN:\n            continue\n",
        "",
        "tests/trust/test_check.py -k object_is_left",
    ),
    bug(
        "a check says that every store keeps conditions",
        "trust/steps/store_features.py",
        'details={"conditions": False}',
        'details={"conditions": True}',
        "tests/trust/test_check.py -k conditions_are_kept",
    ),
    # What lies under the key
    bug(
        "`overwrite: never` replaces what HEAD has just shown",
        "delivery/upload.py",
        "        if self._never_overwrite:\n"
        "            fault = key_taken_unseen(claim, context) if existing.head is None else key_taken(claim, context)\n"
        "        elif",
        "        if",
        f"{_FOREIGN} -k never_means_never",
    ),
    bug(
        "`overwrite: never` believes that every store keeps conditions",
        "aws/conditional_writes.py",
        "return bool(self.complete_honoured if in_parts else self.new_honoured)",
        "return in_parts is not None",
        f"{_FOREIGN} -k never_means_never",
    ),
    bug(
        "what was put while parts were sent is replaced where the store ignores conditions",
        "delivery/upload.py",
        "        if unprotected and self._in_parts:\n",
        "        if unprotected and self._in_parts is None:\n",
        f"{_FOREIGN} -k appears_while",
    ),
    bug(
        "an upload stays open, and paid for, when its key is taken",
        "delivery/upload.py",
        "            await self.request.abandon()\n            raise fault\n",
        "            raise fault\n",
        f"{_FOREIGN} -k appears_while",
    ),
    bug(
        "nobody finds out that a store ignores conditions",
        "delivery/condition_probe.py",
        "        return False, await request.send(condition)\n",
        "        return True, await request.send(condition)\n",
        f"{_FOREIGN} -k still_delivers",
    ),
    bug(
        "two hosts delete each other's files",
        "delivery/upload.py",
        "            if self._must_check:\n",
        "            if self._careful is None:\n",
        f"{_FOREIGN} -k would_then_be_deleted",
    ),
    bug(
        "our own older state counts as somebody else's, and the file never goes",
        "delivery/upload.py",
        "elif other is not None and other != context.bucket.source:",
        "elif other is not None:",
        f"{_FOREIGN} -k own_older",
    ),
    bug(
        "nobody hears that another sender's objects are replaced",
        "delivery/upload.py",
        "                context.observer.on_foreign_overwrite(claim, context.destination.bucket, other)\n",
        "                pass\n",
        f"{_FOREIGN} -k reported_where",
    ),
    bug(
        "a lost answer counts as delivered although the store garbled the bytes",
        "delivery/existing_object.py",
        "return all(head.has_checksum(checksum) for checksum in payload.checksums)",
        "return bool(payload)",
        f"{_FOREIGN} -k lost_answer",
    ),
    bug(
        "HEAD is not asked for the checksum, so that only an MD5 could tell",
        "aws/bucket_queries.py",
        'self._call("head_object", key, ChecksumMode="ENABLED")',
        'self._call("head_object", key)',
        f"{_FOREIGN} -k equal_bytes",
    ),
)
