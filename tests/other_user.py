"""A deed done by another user: in a process of its own, which can do nothing that this one may."""

import os
from collections.abc import Callable, Sequence


def as_user(user: int, deed: Callable[[], str], *, groups: Sequence[int] = (), closing: Sequence[int] = ()) -> str:
    """What ``deed`` gives in a process of ``user`` and ``groups``, without ``closing``; what it raises, as a text."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            for descriptor in closing:
                os.close(descriptor)
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
            os.write(writing, (deed() or "").encode())
        except BaseException as error:  # noqa: BLE001 - it would end the child unheard
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return told.read()
