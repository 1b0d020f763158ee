"""Delivered files that the present configuration sends again, to another address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from crosshaul.errors import StateDirError

if TYPE_CHECKING:
    from crosshaul.config import Config
    from crosshaul.discovery.retarget_count import Retarget


def retargets_of(config: Config) -> list[Retarget]:
    """Return the retargeted files by route; empty if the journal can't be read."""
    try:
        if not (config.state_dir / "journal.db").exists():
            return []
        from crosshaul.discovery.retarget_count import retargets  # noqa: PLC0415
        from crosshaul.journal import Reader  # noqa: PLC0415 - without a journal SQLite is not needed

        with Reader.open(config.state_dir) as reader:
            return retargets(reader, config, socket.gethostname())
    except (StateDirError, OSError):
        return []
