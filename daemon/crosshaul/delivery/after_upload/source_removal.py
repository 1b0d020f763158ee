"""Delete or move the source of a delivered file, if it is still that file and no program writes to it. Blocking.

POSIX can't delete or move a name on the condition that it is a certain file. So the file is opened and verified, then
renamed in one call (to delete it: to a name that only Crosshaul uses), verified again under its new name, and renamed
back if it is another file or a writer came meanwhile. The next attempt finds what a crash left under Crosshaul's name.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from crosshaul.delivery.after_upload.source_verification import (
    NOT_THAT_FILE,
    ExpectedSource,
    RemovalGuard,
    identity,
    is_delivered,
    open_verified,
)
from crosshaul.display import printable
from crosshaul.errors import FileChangedError, FileGoneError, SourceError
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.os_errors import raise_source_error
from crosshaul.files.own_paths import REMOVAL_PREFIX
from crosshaul.files.rename import rename_at_once, rename_noreplace
from crosshaul.files.root import Root

_MAX_NAME_BYTES = 255


def delete(root: Root, expected: ExpectedSource, guard: RemovalGuard) -> None:
    """Delete the file. Raises SourceError (then the file was kept, or was gone already) and Interrupted."""
    with root.parent(expected.path) as (directory, name):
        try:
            _delete(directory, name, expected, guard)
        except (FileGoneError, FileChangedError):
            if not _finish_deletion(directory, name, expected, guard):
                raise


def _delete(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> None:
    removal_name = _removal_name(expected)
    with open_verified(directory, name, expected, guard) as opened:
        _rename_for_removal(directory, name, removal_name, expected)
        if not opened.is_at(directory, removal_name):
            _rename_back(directory, removal_name, directory, name, expected)
            raise FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")
        _unlink(directory, removal_name, expected)


def move(root: Root, expected: ExpectedSource, target: MoveTarget, guard: RemovalGuard) -> None:
    """Move the file below ``target`` at its relative path, overwriting nothing. Raises as ``delete`` does."""
    *directories, _ = expected.path.split(b"/")
    with root.parent(expected.path) as (source, name), target.directory(directories) as into:
        names = (name, _stamped(name, expected.stamp))
        if _finish_move(source, into, name, names, expected):
            return
        with open_verified(source, name, expected, guard) as opened:
            taken = _move_to_free_name(source, into, name, names, expected, target)
            if not opened.is_at(into, taken):
                _rename_back(into, taken, source, name, expected)
                raise FileChangedError(f"{printable(expected.path)}: {NOT_THAT_FILE}")


def restore(root: Root, expected: ExpectedSource) -> None:
    """Undo an interrupted deletion, for a route that keeps its sources now."""
    with root.parent(expected.path) as (directory, name):
        if identity(directory, _removal_name(expected)) is not None:
            _rename_back(directory, _removal_name(expected), directory, name, expected)


# Names


def _removal_name(expected: ExpectedSource) -> bytes:
    """Return the name of the file while it is deleted: one name per inode, which is found again after a crash."""
    return REMOVAL_PREFIX + b"%x" % expected.fingerprint.inode


def _stamped(name: bytes, stamp: str) -> bytes:
    suffix = b"." + stamp.encode()
    return name[: _MAX_NAME_BYTES - len(suffix)] + suffix


def _rename_for_removal(directory: int, name: bytes, removal_name: bytes, expected: ExpectedSource) -> None:
    try:
        if rename_at_once(directory, name, directory, removal_name):
            return
        if identity(directory, removal_name) is None:
            os.rename(name, removal_name, src_dir_fd=directory, dst_dir_fd=directory)
            return
    except FileExistsError:
        pass
    except OSError as error:
        raise_source_error(error, expected.path)
    raise FileChangedError(f"{printable(expected.path)}: an earlier attempt left {printable(removal_name)} beside it")


def _move_to_free_name(
    source: int, into: int, name: bytes, names: Sequence[bytes], expected: ExpectedSource, target: MoveTarget
) -> bytes:
    """Move the file to the first of ``names`` that is free in ``into``, and return that name."""
    for free in names:
        try:
            rename_noreplace(source, name, into, free)
        except FileExistsError:
            continue
        except OSError as error:
            _refuse_move(error, expected.path, target, same_device=_device(source) == _device(into))
        return free
    raise SourceError(
        f"{printable(expected.path)}: {target.path} has files with both names that it could get; remove one of them"
    )


def _refuse_move(error: OSError, path: bytes, target: MoveTarget, *, same_device: bool) -> NoReturn:
    if error.errno == errno.EXDEV:
        reason = "is on another file system"
        if same_device:
            reason = "is on another mount than the route's path, and a rename can't cross mounts"
        hint = "set move_to to a directory below a mount that contains both"
        raise SourceError(f"{printable(path)}: {target.path} {reason}; {hint}") from error
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        raise SourceError(f"{printable(path)}: can't be moved to {target.path}: {error.strerror}") from error
    raise_source_error(error, path)


def _rename_back(at: int, taken: bytes, directory: int, name: bytes, expected: ExpectedSource) -> None:
    """Rename a file back that is not the delivered one; to a name beside it if its own is taken. A scan finds it."""
    for free in (name, _stamped(name, expected.stamp)):
        try:
            rename_noreplace(at, taken, directory, free)
        except FileExistsError:
            continue
        except OSError as error:
            raise_source_error(error, expected.path)
        return
    raise SourceError(
        f"{printable(expected.path)}: another file had its name, and is kept as {printable(taken)}; rename it by hand"
    )


# Interrupted removals


def _finish_deletion(directory: int, name: bytes, expected: ExpectedSource, guard: RemovalGuard) -> bool:
    """Finish an interrupted deletion, if there was one; return True if that deletes the delivered file."""
    removal_name = _removal_name(expected)
    interrupted = identity(directory, removal_name)
    if interrupted is None:
        return False
    if interrupted == identity(directory, name):
        _unlink(directory, removal_name, expected)  # two names of one file: a rename made of link and unlink
        return False
    if is_delivered(directory, removal_name, expected, guard):
        _unlink(directory, removal_name, expected)
        return identity(directory, name) is None
    _rename_back(directory, removal_name, directory, name, expected)
    return False


def _finish_move(source: int, into: int, name: bytes, names: Sequence[bytes], expected: ExpectedSource) -> bool:
    """Unlink the old name if an earlier move was interrupted between link and unlink; return True then."""
    current, delivered = identity(source, name), expected.fingerprint
    if current is None or current[1:] != (delivered.inode, delivered.size, delivered.mtime_ns):
        return False
    if not any(identity(into, taken) == current for taken in names):
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
