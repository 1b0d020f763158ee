import os
import signal
import sys

pytest_plugins = ["support.blocked_loop", "support.partner_fixtures", "support.system_fixtures"]

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Images of Python often ask for no bytecode; hundreds of starts of the command would each compile all of the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
