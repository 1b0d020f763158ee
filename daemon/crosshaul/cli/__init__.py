"""The commands: one file per verb, imported only when that verb is asked for."""

import os
import signal

if os.getpid() == 1:
    # The kernel ignores a signal to a container's first process unless that has a handler. The daemon installs its own
    # handler after its imports; until then this one ends the process, as the default would elsewhere.
    signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
