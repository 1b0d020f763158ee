"""What a configuration has go again, by the journal: told before anything is sent."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from crosshaul.errors import StateDirError

if TYPE_CHECKING:
    from crosshaul.config import Config
    from crosshaul.discovery.retargeting import Retarget


def going_again(config: Config) -> list[Retarget]:
    """The delivered files that it has go elsewhere, a route each; none where the journal can't be read."""
    try:
        if not (config.state_dir / "journal.db").exists():
            return []
        from crosshaul.discovery.retargeting import retargets  # noqa: PLC0415
        from crosshaul.journal.sqlite.reader import Reader  # noqa: PLC0415 - without a journal there is no need of SQLite

        with Reader.open(config.state_dir) as reader:
            return retargets(reader, config, socket.gethostname())
    except (StateDirError, OSError):
        return []
