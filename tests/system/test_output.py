"""The commands' output: no secret, no cursor movement, and no crash where it can't be written."""

import re
import signal
import subprocess
import sys
import time

import pytest

from support.clumsy_operator import output, secrets_in, unprivileged
from support.system_fixtures import until
from support.terminal import terminal

MIB = 1 << 20
ODD_NAMES = [
    "esc\x1b[31mred\x1b]0;title\x07",
    "new\nline",
    "cr\rover",
    "bidi\u202e",
    "c1\x9b31m",
    "n" * 250,
    "caf\udce9",
]


def test_secrets_and_escapes_stay_inside(strict, site_for):
    """With names that move cursors, a debug log, a refusal and a success, no secret or escape is printed."""
    site = site_for(strict, settle={"quiet": "0s"})
    site.config["log"]["level"] = "debug"
    site.write()
    for name in ODD_NAMES:
        site.add(name, b"x")
    locked = site.add("locked \x1b[31m", b"x")
    locked.chmod(0)
    assert unprivileged(lambda: output(site, "push")).returncode == 1
    for verb in (["list"], ["list", "--json"], ["status"], ["push", "--dry-run"], ["wait", "--timeout", "100ms"]):
        output(site, *verb)
    assert output(site, "explain", str(site.root / ODD_NAMES[0])).returncode == 0
    assert [
        path.name for path in site.state_dir.iterdir() if secrets_in(site, path.read_bytes().decode("latin-1"))
    ] == []
    assert len(strict.objects()) == len(ODD_NAMES)


OUTPUTS = {
    "a reader that leaves": ("| head -1", 1, 1, 0),
    "a full disk": ("> /dev/full", 1, 0, 1),
    "closed": (">&-", 0, 0, 0),
}


@pytest.mark.parametrize(("where", "code", "read", "lines"), OUTPUTS.values(), ids=OUTPUTS)
def test_output_that_goes_nowhere_is_no_crash(strict, site_for, where, code, read, lines):
    """A broken pipe prints nothing, a full disk gives one line, a closed stdout nothing."""
    site = site_for(strict, settle={"quiet": "0s"})
    for number in range(1500):
        site.add(f"{number:0100}", b"")
    command = f'"$0" -m crosshaul push -c "$1" --dry-run {where}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, str(site.config_file)],
        capture_output=True,
        text=True,
        timeout=60,
        env=site._env(),
        check=False,
    )
    assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (code, read, lines), done
    assert "No space left" in done.stderr or not lines


def test_ctrl_c_ends_a_push_quietly_and_the_next_one_continues(strict, site_for):
    """SIGINT during an upload gives code 130 without a traceback; the next push sends only the missing part."""
    site = site_for(strict, settle={"quiet": "0s"})
    site.in_parts()
    site.config["shutdown_timeout"] = "1s"
    site.write()
    site.add("large", bytes(15 * MIB))
    strict.fault("stall", "UploadPart", rule={"part": 3}, seconds=30)
    process = subprocess.Popen(site._command("push"), stderr=subprocess.PIPE, text=True, env=site._env())
    until(lambda: len(strict.calls("UploadPart")) >= 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, told_last = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "Traceback" not in told_last
    strict.clear_faults()
    strict.forget_calls()
    assert site.push().startswith("Delivered 1 file ")
    assert [each["part"] for each in strict.calls("UploadPart")] == [3]


@pytest.mark.parametrize("width", [40, 100])
def test_a_push_shows_bytes_rate_and_time_left(strict, site_for, width):
    """On a terminal a push shows the sent bytes of a large file, the rate and the time left."""
    site = site_for(strict, settle={"quiet": "0s"})
    site.in_parts()
    site.config["transfer"]["memory_limit"] = "5MiB"
    site.write()
    site.add("large\u202e" + "x" * 200, bytes(20 * MIB))
    strict.fault("delay", "UploadPart", rule={"times": None}, seconds=0.7)
    with terminal("push", "-c", str(site.config_file), width=width, **site._env()) as screen:
        screen.until(r"(5|10)\.0/20\.0 MiB")
        screen.until(r"\d MiB/s")
        screen.until(r"0:\d\d")
        screen.until("0/1 file")
        assert screen.end() == 0
    assert "\u202e" not in screen.written
    assert re.search(r"Delivered 1 file \(20\.0 MiB\) in ", screen.shown())
