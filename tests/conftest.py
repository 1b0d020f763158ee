import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

from crosshaul.telemetry import redact

pytest_plugins = ["support.blocked_loop", "support.partner_fixtures", "support.system_fixtures"]

# An example's duration depends on the machine's load, and proves nothing about the code.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Tests in the background of a shell ignore Ctrl-C, and the processes that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Images of Python often disable bytecode; then hundreds of starts would each compile the whole package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def _no_secret_of_another_test():
    """Forget secrets that an earlier test registered, so that they are ordinary words in this one."""
    known = redact._Registered.secrets
    yield
    redact._Registered.secrets = known
