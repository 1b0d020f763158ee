"""An account, and a container that delivers to it."""

import pytest

from support.containers import Pod
from support.partner_fixtures import partner_process


@pytest.fixture
def account(tmp_path):
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


@pytest.fixture
def pod(tmp_path, account):
    return Pod(tmp_path, account)
