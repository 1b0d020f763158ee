"""The commands: one file per verb, imported only when that verb is asked for."""

import os
import signal

if os.getpid() == 1:
    # The kernel passes over a signal to the first process of a container that has no handler for it. What takes long
    # to import takes over later; until then nothing is begun, and it ends as any other process would.
    signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
