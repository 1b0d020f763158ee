import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

from crosshaul.telemetry import redact

pytest_plugins = ["support.blocked_loop", "support.partner_fixtures", "support.system_fixtures"]

# How long an example takes depends on what else runs here, and says nothing of the code.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Images of Python often ask for no bytecode; hundreds of starts of the command would each compile all of the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def _no_secret_of_another_test():
    """Forget secrets that an earlier test registered, so that they are ordinary words in this one."""
    known = redact._Registered.secrets
    yield
    redact._Registered.secrets = known
