"""The commands in the documents work as written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import REPOSITORY, block, blocks
from support.partner_fixtures import PartnerProcess, partner_process

EXTERNAL_ID = "an-external-id-for-the-docs"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A new user's home, with the README's configuration in it."""
    for name, text in blocks("README.md", "file").items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(script: str, home: Path, account: PartnerProcess) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CROSSHAUL_"))}
    environment = clean | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PARTNER_EXTERNAL_ID": EXTERNAL_ID,
        "AWS_ACCESS_KEY_ID": account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
        # The documents are about AWS; these variables point the SDK elsewhere without a change of their text.
        "AWS_ENDPOINT_URL": account.endpoint_url,
    }
    done = subprocess.run(
        ["bash", "-euc", script], cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readmes_five_minute_start_delivers_the_file(home: Path, tmp_path_factory: pytest.TempPathFactory):
    """A new user who copies the README's configuration and commands gets the file into the partner's bucket."""
    with partner_process(external_id=EXTERNAL_ID, spool=tmp_path_factory.mktemp("spool")) as account:
        for script in blocks("README.md", "run").values():
            said = run(script, home, account)
            assert "hello.txt" in said
        assert account.read("hello.txt") == b"This is from cross account!\n"
        for script in blocks("docs/OPERATIONS.md", "run").values():
            said = run(script, home, account)
            assert '"delivered": 1' in said


def test_the_policies_of_the_guide_are_enough_and_are_needed(home: Path, tmp_path_factory):
    """With exactly the documents of docs/SETUP.md the file arrives; with another external ID it does not."""
    policies = {name: json.loads(text) for name, text in blocks("docs/SETUP.md", "policy").items()}
    settings = {
        "trust_policy": policies["trust-policy"],
        "role_policy": policies["role-policy"],
        "user_policy": policies["identity-policy"],
    }
    script = "mkdir -p ~/exports && echo x > ~/exports/a && crosshaul push -c config.yaml"
    with partner_process(**settings, spool=tmp_path_factory.mktemp("spool")) as account:
        with pytest.raises(AssertionError, match="external ID"):
            run(script, home, account)
        trust = policies["trust-policy"]
        trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"] = EXTERNAL_ID
        account.settings(trust_policy=trust)
        run(script, home, account)
        assert account.read("a") == b"x\n"


def test_the_guides_policies_are_what_the_verb_prints(home: Path, tmp_path_factory):
    """Each document of docs/SETUP.md is the output of `crosshaul policy` for the README's configuration."""
    shown = blocks("docs/SETUP.md", "policy")
    assert set(shown) == {"identity-policy", "trust-policy", "role-policy", "bucket-policy", "lifecycle"}
    with partner_process(external_id=EXTERNAL_ID, spool=tmp_path_factory.mktemp("spool")) as account:
        for name, text in shown.items():
            assert run(f"crosshaul policy -c config.yaml --only {name}", home, account) == text, name


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not there")
def test_a_backup_made_as_the_guide_says_is_a_journal(home: Path, tmp_path_factory):
    """After a restore of the guide's backup no delivered file is sent again."""
    script = block("docs/OPERATIONS.md", "backup")
    state, copy = home / "state", home / "backup.db"
    backup = script.replace("/var/lib/crosshaul", str(state)).replace("/var/backups/crosshaul.db", str(copy))
    assert backup != script
    with partner_process(external_id=EXTERNAL_ID, spool=tmp_path_factory.mktemp("spool")) as account:
        config = (home / "config.yaml").read_text()
        (home / "config.yaml").write_text(re.sub("^state_dir: .*", f"state_dir: {state}", config, flags=re.MULTILINE))
        run("mkdir -p ~/exports && echo x > ~/exports/a && crosshaul push -c config.yaml", home, account)
        run(backup, home, account)
        shutil.rmtree(state)
        state.mkdir(mode=0o700)
        copy.rename(state / "journal.db")
        account.forget_calls()
        assert '"delivered": 1' in run(
            "crosshaul push -c config.yaml; crosshaul status -c config.yaml --json", home, account
        )
        assert not account.calls("PutObject")


def test_every_link_in_the_documents_leads_to_a_file():
    """Every link in the documents leads to an existing page."""
    for document in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
