"""Delete or move the source of a delivered file: only this very file, with these bytes, that nobody has open to write.

POSIX has no call that deletes or moves a name if it still is a certain file. So the file is opened and looked at, then
renamed by one call (to delete it: to a name that only we use), looked at again under its new name, and put back if it
is another file, or if a writer came meanwhile. What a crash leaves under our own name is found at the next try.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from crosshaul.delivery.after_upload.delivered_file import (
    NOT_THAT_FILE,
    ExpectedSource,
    RemovalGuard,
    checked,
    identity,
    is_delivered,
)
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.os_errors import raise_source_error
from crosshaul.files.own_paths import REMOVAL_PREFIX
from crosshaul.files.rename import rename_at_once, rename_noreplace
from crosshaul.files.root import Root

_LONGEST_NAME = 255


def delete(root: Root, expected: ExpectedSource, guard: RemovalGuard) -> None:
    """Delete the file. Raises SourceError, and then the file is there still, or was gone; Interrupted."""
    with root.parent(expected.path) as (directory, name):
        try:
            _delete(directory, name, expected, guard)
        except (FileGoneError, FileChangedError):
            if not _finish_deletion(directory, name, expected, guard):
                raise


def _delete(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> None:
    aside = _aside(expected)
    with checked(directory, name, expected, guard) as held:
        _set_aside(directory, name, aside, expected)
        if not held.is_at(directory, aside):
            _put_back(directory, aside, directory, name, expected)
            raise FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")
        _unlink(directory, aside, expected)


def move(root: Root, expected: ExpectedSource, target: MoveTarget, guard: RemovalGuard) -> None:
    """Move the file below ``target``, keeping its relative path and overwriting nothing; raises as ``delete`` does."""
    *directories, _ = expected.path.split(b"/")
    with root.parent(expected.path) as (source, name), target.directory(directories) as into:
        names = (name, _stamped(name, expected.stamp))
        if _finish_move(source, into, name, names, expected):
            return
        with checked(source, name, expected, guard) as held:
            taken = _move_to_free_name(source, into, name, names, expected, target)
            if not held.is_at(into, taken):
                _put_back(into, taken, source, name, expected)
                raise FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")


def restore(root: Root, expected: ExpectedSource) -> None:
    """Give a file its name back that a crash left set aside, for a route that keeps its sources now."""
    with root.parent(expected.path) as (directory, name):
        if identity(directory, _aside(expected)) is not None:
            _put_back(directory, _aside(expected), directory, name, expected)


# Names


def _aside(expected: ExpectedSource) -> bytes:
    """Where the file is set aside before it is deleted: one name for each, which is found again after a crash."""
    return REMOVAL_PREFIX + b"%x" % expected.fingerprint.inode


def _stamped(name: bytes, stamp: str) -> bytes:
    suffix = b"." + stamp.encode()
    return name[: _LONGEST_NAME - len(suffix)] + suffix


def _set_aside(directory: int, name: bytes, aside: bytes, expected: ExpectedSource) -> None:
    try:
        if rename_at_once(directory, name, directory, aside):
            return
        if identity(directory, aside) is None:
            os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
            return
    except FileExistsError:
        pass
    except OSError as error:
        raise_source_error(error, expected.path)
    raise FileChangedError(f"{printable(expected.path)}: an earlier try left {printable(aside)} beside it")


def _move_to_free_name(
    source: int, into: int, name: bytes, names: Sequence[bytes], expected: ExpectedSource, target: MoveTarget
) -> bytes:
    """Give the file the first of ``names`` that is free in ``into``; gives that name."""
    for taken in names:
        try:
            rename_noreplace(source, name, into, taken)
        except FileExistsError:
            continue
        except OSError as error:
            _refuse_move(error, expected.path, target, same_device=_device(source) == _device(into))
        return taken
    raise SourceError(
        f"{printable(expected.path)}: {target.path} has a file of each name it could take; clear up there"
    )


def _refuse_move(error: OSError, path: bytes, target: MoveTarget, *, same_device: bool) -> NoReturn:
    if error.errno == errno.EXDEV:
        reason = "is on another file system"
        if same_device:
            reason = "is reached through another mount than the route's path, and a rename can't go from one to another"
        cure = "let move_to name a directory below one mount that holds both"
        raise SourceError(f"{printable(path)}: {target.path} {reason}; {cure}") from error
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        raise SourceError(f"{printable(path)}: can't be moved to {target.path}: {error.strerror}") from error
    raise_source_error(error, path)


def _put_back(at: int, taken: bytes, directory: int, name: bytes, expected: ExpectedSource) -> None:
    """Give what was renamed by mistake its name back, or one beside it if that was taken meanwhile: a scan sees it."""
    for free in (name, _stamped(name, expected.stamp)):
        try:
            rename_noreplace(at, taken, directory, free)
        except FileExistsError:
            continue
        except OSError as error:
            raise_source_error(error, expected.path)
        return
    raise SourceError(f"{printable(expected.path)}: what had its name is kept as {printable(taken)}; move it by hand")


# What a crash left


def _finish_deletion(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> bool:
    """Finish what an earlier try set aside, if there is such a file; True if the delivered file is deleted by that."""
    aside = _aside(expected)
    there = identity(directory, aside)
    if there is None:
        return False
    if there == identity(directory, name):
        _unlink(directory, aside, expected)  # two names of one file: a rename made of link and unlink
        return False
    if is_delivered(directory, aside, expected, guard):
        _unlink(directory, aside, expected)
        return identity(directory, name) is None
    _put_back(directory, aside, directory, name, expected)
    return False


def _finish_move(source: int, into: int, name: bytes, names: Sequence[bytes], expected: ExpectedSource) -> bool:
    """Whether an earlier move was cut short between link and unlink: then the old name goes."""
    here, known = identity(source, name), expected.fingerprint
    if here is None or here[1:] != (known.inode, known.size, known.mtime_ns):
        return False
    if not any(identity(into, taken) == here for taken in names):
        return False
    _unlink(source, name, expected)
    return True


def _device(directory: int) -> int:
    return os.fstat(directory).st_dev


def _unlink(directory: int, name: bytes, expected: ExpectedSource) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        raise_source_error(error, expected.path)
