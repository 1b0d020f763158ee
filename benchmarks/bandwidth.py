"""Measure whether `bandwidth: 20MiB/s` holds over any five seconds, by the bytes that pass a relay before the sink.

python benchmarks/bandwidth.py [--seconds 25]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import threading
import time
from typing import Any

from daemon_site import daemon
from measuring import MIB, SCRATCH, Work, recorded
from sink import Sink, free_port, sink

LIMIT = 20 * MIB
_WINDOW = 5.0
_KINDS = {
    "small": Work("bandwidth 32 KiB", [(20_000, 32 * 1024)]),
    "large": Work("bandwidth 128 MiB", [(6, 128 * MIB)]),
}


class Relay:
    """Relays bytes to the sink, and records their number over time, in its own thread."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self.passed: list[tuple[float, int]] = []
        self._to = to
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        await server.serve_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._copy(reader, back, count=True), self._copy(onward, writer, count=False))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, count: bool) -> None:
        try:
            while data := await source.read(65536):
                if count:
                    self.passed.append((time.monotonic(), len(data)))
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


def windows(passed: list[tuple[float, int]], began: float, ended: float) -> list[float]:
    """Return the rate of each window of five seconds, in steps of a tenth, in bytes per second."""
    tenths = [0] * (int((ended - began) * 10) + 1)
    for at, size in passed:
        if began <= at < ended:
            tenths[int((at - began) * 10)] += size
    width = int(_WINDOW * 10)
    return [sum(tenths[start : start + width]) / _WINDOW for start in range(len(tenths) - width)]


def measure(kind: str, store: Sink, seconds: float) -> dict[str, Any]:
    """Measure one kind of files, without the first two seconds."""
    root, relay = _KINDS[kind].tree(), Relay(store.https_port)
    settings = {"transfer": {"bandwidth": "20MiB/s"}}
    with daemon(root, SCRATCH / "home", store, settings, url=f"https://127.0.0.1:{relay.port}"):
        while not relay.passed:
            time.sleep(0.05)
        began = time.monotonic() + 2
        time.sleep(seconds + 2)
        rates = windows(relay.passed, began, time.monotonic())
    figures = {"least": min(rates) / LIMIT, "most": max(rates) / LIMIT}
    print(f"{kind}: {figures['least']:.1%} to {figures['most']:.1%} of the limit over any {_WINDOW:g} s", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with sink() as store, recorded("bandwidth") as figures:
        for kind in _KINDS:
            figures[kind] = measure(kind, store, options.seconds)
    shutil.rmtree(SCRATCH / "home", ignore_errors=True)


if __name__ == "__main__":
    main()
