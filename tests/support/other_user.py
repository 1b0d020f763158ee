"""Run a function as another user: in a process of its own, without the permissions of this one."""

import os
from collections.abc import Callable, Sequence


def as_user(user: int, action: Callable[[], str], *, groups: Sequence[int] = (), closing: Sequence[int] = ()) -> str:
    """Return the result of ``action`` in a process of ``user`` and ``groups``; an exception is returned as text.

    ``closing``: descriptors that the process closes first.
    """
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            for descriptor in closing:
                os.close(descriptor)
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
            os.write(writing, (action() or "").encode())
        except BaseException as error:  # noqa: BLE001 - nobody else sees an error of the child
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as result:
        return result.read()
