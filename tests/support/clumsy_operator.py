"""Shared parts of the tests of bad input: run a command with a mistake, and check what must never result."""

import ctypes
import re
from concurrent.futures import ThreadPoolExecutor

from support.system_fixtures import complaints

SESSION_TOKEN = re.compile(r"F[A-Za-z0-9_-]{390,}")
"""Credentials that the strict account gives out."""
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\udc80-\udcff]")
DROP_FROM_BOUNDING_SET, DAC_OVERRIDE, DAC_READ_SEARCH = 24, 1, 2
"""linux/prctl.h and linux/capability.h."""


def output(site, verb, *arguments):
    """Run a verb; its output must have no traceback, no secret and no cursor movement."""
    done = site.crosshaul(verb, *arguments)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert not UNPRINTABLE.search(said), ascii(said)
    assert not secrets_in(site, said), said
    return done


def secrets_in(site, text):
    known = [site.environment.get("AWS_SECRET_ACCESS_KEY"), site.external_id_file.read_text()]
    return [each for each in known if each and each in text] + SESSION_TOKEN.findall(text)


def refused(site, verb, *arguments):
    """Return the exit code and the one line for a person of a command that has to fail."""
    done = output(site, verb, *arguments)
    lines = complaints(done.stderr)
    assert len(lines) == 1, done
    assert lines[0].startswith("crosshaul: ")
    return done.returncode, lines[0]


def unprivileged(call):
    """Call ``action`` in a thread whose programs have to respect file modes, even under root."""

    def humbly():
        for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
        return call()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(humbly).result()


def lacks(words, line):
    return [each for each in words if each not in line]
