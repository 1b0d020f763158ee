"""Measure the small PUTs and megabytes per second of the HTTP client, with a trivial sink in another process.

python benchmarks/wire.py [--tls] [--count 20000] [--size 4096] [--connections 64]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import ssl
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from certificate import self_signed

from crosshaul.aws.http1 import Client, Deadlines, Origin, tls_context

ANSWER = b'HTTP/1.1 200 OK\r\nx-amz-request-id: 1\r\netag: "1"\r\ncontent-length: 0\r\n\r\n'
HEADERS = [
    *((f"x-amz-meta-{number}", "v" * 30) for number in range(6)),
    ("x-amz-security-token", "t" * 1000),
    ("authorization", "a" * 300),
]


class Sink(asyncio.Protocol):
    """Counts the bytes of bodies and responds with 200; supports Content-Length only."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head."""
        self.transport = transport
        self.head = b""
        self.left = 0

    def data_received(self, data: bytes) -> None:
        """Count down."""
        if not self.left:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            start = self.head.index(b"content-length: ") + 16
            self.left = int(self.head[start : self.head.index(b"\r", start)])
            data, self.head = self.head[end + 4 :], b""
        self.left -= len(data)
        if self.left <= 0:
            self.transport.write(ANSWER)


def serve(pipe: Pipe, certificate: str | None) -> None:
    async def main() -> None:
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, ssl=tls)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(main())


async def together(count: int, connections: int, send: Callable[[], object]) -> float:
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            answer = await send()
            assert answer.status == 200

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return time.perf_counter() - start


async def measure(port: int, options: argparse.Namespace, certificate: Path | None) -> None:
    origin = Origin("https" if certificate else "http", "127.0.0.1", port)
    tls = tls_context(certificate) if certificate else None
    client = Client(origin, tls=tls, max_connections=options.connections, deadlines=Deadlines(), proxy=None)
    small, large = bytes(options.size), bytes(8 * 1024 * 1024)
    for name, body, count, width in (("small", small, options.count, options.connections), ("8 MiB", large, 128, 8)):
        await together(width, width, lambda body=body: client.send("PUT", "/warm", HEADERS, body))
        before = resource.getrusage(resource.RUSAGE_SELF)
        took = await together(count, width, lambda body=body: client.send("PUT", "/b/key", HEADERS, body))
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        rates = f"{count / took:,.0f} PUT/s, {count * len(body) / took / 1e6:,.0f} MB/s"
        print(f"{origin.scheme:5} {name}: {rates}, {cpu / count * 1e6:,.0f} us of CPU each")
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        certificate = self_signed(Path(directory)) if options.tls else None
        ours, theirs = multiprocessing.Pipe()
        sink = multiprocessing.Process(target=serve, args=(theirs, str(certificate) if certificate else None))
        sink.start()
        try:
            asyncio.run(measure(ours.recv(), options, certificate))
        finally:
            ours.send(None)
            sink.join()


if __name__ == "__main__":
    main()
