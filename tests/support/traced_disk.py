"""The journal's files as after a power loss, derived by strace from the calls that wrote and synced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from crosshaul.files.own_paths import REMOVAL_PREFIX

CALLS = "openat,pwrite64,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,linkat"
_CALL = re.compile(r"(\d+) +(\w+)\((.*?)(\) += .*| <unfinished \.\.\.>)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_ANSWER = re.compile(r"\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_ON = re.compile(r"-?\w+<((?:\\x[0-9a-f]{2})*)>")
_SYNCS = {"fsync", "fdatasync"}
_REMOVALS = {"unlinkat", "renameat", "renameat2", "rename", "linkat"}


def traced(trace: Path, command: list[str]) -> list[str]:
    """Return the command with its disk calls traced to ``trace``."""
    return ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace), *command]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True)
class Call:
    """One call; ``begins`` and ``ends`` differ if another thread came between."""

    name: str
    on: str
    texts: tuple[bytes, ...]
    numbers: tuple[int, ...]
    begins: bool
    ends: bool


def calls(trace: Path) -> Iterator[Call]:
    """Return the disk calls in order; calls that are known to have failed are left out."""
    open_calls: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        if match := _RESUMED.match(line):
            began = open_calls.pop(match[1])
            if not match[3].rsplit(" = ", 1)[-1].startswith("-1"):
                yield _call(match[2], began, begins=False, ends=True)
        elif match := _CALL.match(line):
            if "unfinished" in match[4]:
                open_calls[match[1]] = match[3]
                yield _call(match[2], match[3], begins=True, ends=False)
            elif not match[4].split(" = ", 1)[-1].startswith("-1"):
                yield _call(match[2], match[3], begins=True, ends=True)


def _call(name: str, arguments: str, *, begins: bool, ends: bool) -> Call:
    on = _ON.match(arguments)
    texts = tuple(_bytes(text) for text in _TEXT.findall(arguments))
    numbers = tuple(int(each) for each in re.findall(r", (\d+)(?=,|$)", _TEXT.sub("", arguments)))
    return Call(name, os.fsdecode(_bytes(on[1])) if on else "", texts, numbers, begins, ends)


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes]] = field(default_factory=list)
    syncing: int = 0


def _put(content: bytearray, at: int, data: bytes) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class Disk:
    """The state of a directory on the disk and in memory, call by call."""

    def __init__(self, below: Path) -> None:
        self._below = str(below)
        self._files: dict[str, _File] = {}
        self.syncs = 0

    def take(self, call: Call) -> bool:
        """Apply a call; return True if it made something durable."""
        if call.name == "unlink" and call.ends:
            self._files.pop(Path(os.fsdecode(call.texts[0])).name, None)
        if not call.on.startswith(f"{self._below}/journal.db") or call.on.endswith("-shm"):
            return False
        file = self._files.setdefault(Path(call.on).name, _File())
        if call.name == "pwrite64" and call.begins:
            file.since.append((call.numbers[-1], call.texts[0]))
        elif call.name == "ftruncate" and call.ends:
            self._sync(file, len(file.since))
            del file.synced[call.numbers[-1] :]
        elif call.name in _SYNCS:
            if call.begins:
                file.syncing = len(file.since)
            if call.ends:
                self._sync(file, file.syncing)
                self.syncs += 1
                return True
        return False

    def _sync(self, file: _File, count: int) -> None:
        for at, data in file.since[:count]:
            _put(file.synced, at, data)
        del file.since[:count]

    def leave(self, directory: Path, chance: Random | None = None) -> None:
        """Return what a power loss leaves: synced writes and, at random, some of the others."""
        directory.mkdir(mode=0o700)
        for name, file in self._files.items():
            content = bytearray(file.synced)
            for at, data in file.since:
                if chance is not None and chance.random() < 0.5:
                    _put(content, at, data)
            (directory / name).write_bytes(content)


def removed(call: Call, root: Path) -> bytes | None:
    """The name of the source right below ``root`` that this call begins to take away, if it does.

    A file that was renamed to a name of our own is being deleted, and was reported under its own name.
    """
    if call.begins and call.name in _REMOVALS and call.on == str(root) and call.texts:
        return call.texts[0] if not call.texts[0].startswith(REMOVAL_PREFIX) else None
    return None
