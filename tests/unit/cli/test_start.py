"""Start-up time: a command imports only the libraries that it needs."""

import subprocess
import sys

import pytest

from crosshaul.cli.main import VERBS
from support.cli_world import World

AWS = {"aioboto3", "aiobotocore", "botocore", "boto3", "awscrt", "aiohttp", "httptools", "crosshaul.aws.control_client"}
"""Libraries that only commands with AWS calls need; the slowest to import."""
DAEMON = AWS | {"jinja2", "structlog", "prometheus_client", "watchfiles", "inotify_simple", "crosshaul.service.builder"}
NOTHING = DAEMON | {"pydantic", "yaml", "rich", "sqlite3", "asyncio", "pathspec", "humanize"}
READING = DAEMON | {"rich"}
CODE = "from crosshaul.cli.main import run; import sys; run(sys.argv[1:]); print('\\n' + ' '.join(sys.modules))"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.admit(made.file("a"))
    return made


def imported(*arguments):
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_the_commands_help_imports_no_library_but_click(arguments):
    """`crosshaul --help` imports click and no other library."""
    assert imported(arguments) & NOTHING == set()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_imports_no_library_that_takes_time(verb):
    """A verb's help does not import the libraries that only running the verb needs."""
    assert imported(verb, "--help") & (READING | {"pydantic", "yaml", "pathspec"}) == set()


NEEDLESS = [
    (["validate"], READING),
    (["status"], DAEMON | {"pathspec"}),
    (["status", "--json"], READING | {"pathspec"}),
    (["status", "--healthy"], READING | {"pathspec"}),
    (["list"], READING | {"pathspec"}),
    (["explain", "{root}/a"], READING),
    (["retry"], READING | {"pathspec"}),
    (["wait", "--timeout", "0s"], READING),
    (["policy", "--principal", "111111111111"], READING | {"sqlite3", "pathspec"}),
]


@pytest.mark.parametrize(("arguments", "unneeded"), NEEDLESS, ids=[" ".join(arguments) for arguments, _ in NEEDLESS])
def test_a_verb_imports_only_what_it_needs(world, arguments, unneeded):
    """Verbs that read the configuration and the journal import no AWS library, and rich only for tables."""
    given = [each.format(root=world.root) for each in arguments]
    assert imported(given[0], "-c", str(world.config), *given[1:]) & unneeded == set()
