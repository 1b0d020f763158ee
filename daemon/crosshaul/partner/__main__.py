"""``python -m crosshaul.partner``: a partner account in a process of its own.

It prints one JSON line with all that a client needs, and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crosshaul.partner import PartnerAccount, Settings


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crosshaul.partner", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--spool", type=Path, help="directory for object bodies")
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CERT", "KEY"))
    parser.add_argument("--session-seconds", type=float, help="lifetime of sessions, whatever is requested")
    parser.add_argument("--config", default="{}", help="further settings, a JSON object")
    return parser.parse_args(given)


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = Settings.from_json(json.loads(arguments.config))
    settings.port = arguments.port
    settings.spool = arguments.spool or settings.spool
    if arguments.tls:
        settings.tls_certificate, settings.tls_key = arguments.tls
    if arguments.session_seconds is not None:
        settings.session_seconds = arguments.session_seconds
    return settings


def serve(tell: Callable[[str], object], given: Sequence[str] | None = None) -> None:
    """Serve as the arguments say, or those of the command, until SIGTERM; ``tell`` gets what a client needs."""
    asyncio.run(_serve(_settings(_arguments(given)), tell))


async def _serve(settings: Settings, tell: Callable[[str], object]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with PartnerAccount(settings) as account:
        tell(json.dumps(account.describe()))
        await stop.wait()


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(_print)
