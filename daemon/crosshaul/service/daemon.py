"""The daemon: open the runtime and run its services under supervisors until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path

from crosshaul.concurrency.clock import SystemClock
from crosshaul.concurrency.waiting import run_unless
from crosshaul.config import Config, files_writable_by_others
from crosshaul.errors import Fault, NotReadyError
from crosshaul.service.control_handlers import control_handlers
from crosshaul.service.control_socket import ControlSocket
from crosshaul.service.final_pass import FinalPass
from crosshaul.service.monitoring import Monitoring
from crosshaul.service.reload import ConfigReloader
from crosshaul.service.runtime import Runtime
from crosshaul.service.shutdown import Shutdown
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.service.systemd import SystemdNotifier, open_runtime_extending_start
from crosshaul.telemetry import logs
from crosshaul.telemetry.fd_limit import AcceptErrorHandler
from crosshaul.telemetry.loop_lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier

_READY_SECONDS = 60.0
"""Time in which each destination must answer, with ``require_ready``."""


async def run(config: Config, file: Path, *, require_ready: bool = False, finish: bool = False) -> int:
    """Run the daemon until SIGTERM or SIGINT. SIGHUP reloads the configuration from ``file``.

    With ``finish``, rescan at the end and deliver every settled file, all within ``shutdown_timeout``.

    Return 0 after a full drain, and after any stop by a service manager; 1 if uploads were cut off (they resume at the
    next start). Raises LockedError, StateDirError, ConfigError and, with ``require_ready``, NotReadyError.
    """
    clock, log = SystemClock(), logs.get("crosshaul")
    shutdown = Shutdown(config.shutdown_timeout)
    shutdown.listen(signal.SIGTERM, signal.SIGINT)
    asyncio.get_running_loop().set_exception_handler(AcceptErrorHandler(log))
    hangup, notifier = asyncio.Event(), Notifier.from_environment()
    shutdown.listen_for_hangup(hangup)
    for line in await asyncio.to_thread(files_writable_by_others, config, file):
        log.warning("file_writable_by_others", error=line)
    with contextlib.closing(notifier):
        async with open_runtime_extending_start(config, clock, notifier) as runtime:
            daemon = _Daemon(runtime, file, shutdown, notifier)
            drained, undelivered = await daemon.run(hangup, require_ready=require_ready, finish=finish)
    # A cut-off loses nothing, and a service manager would call the unit failed for a stop that it asked for.
    stopped_by_manager = bool(notifier) and shutdown.requested.is_set() and not finish
    return 0 if (drained and not undelivered) or stopped_by_manager else 1


class _Daemon:
    """The services of one daemon, under two supervisors: support services outlive the delivery services."""

    def __init__(self, runtime: Runtime, file: Path, shutdown: Shutdown, notifier: Notifier) -> None:
        self._runtime = runtime
        self._shutdown = shutdown
        self._notifier = notifier
        self._log = logs.get("crosshaul")
        timeout = runtime.config.shutdown_timeout
        self._support, self._delivery = (Supervisor(runtime.clock, self._log, timeout) for _ in range(2))
        self._monitoring = Monitoring(runtime)
        self._final_pass = FinalPass(runtime, shutdown.requested, shutdown.forced, self._log)
        self._reloader = ConfigReloader(runtime, file, self._delivery, self._support, notifier)

    async def run(self, hangup: asyncio.Event, *, require_ready: bool, finish: bool) -> tuple[bool, int]:
        """Run until shutdown; return whether all services drained, and how many files the final pass left."""
        runtime, shutdown, reloader = self._runtime, self._shutdown, self._reloader
        reloader.fixed_services = self._fixed_services(hangup, finish=finish)
        support_services = [*runtime.support_services(), *reloader.fixed_services]
        async with self._monitoring.serving():
            async with self._support.around(support_services, shutdown.forced):
                if require_ready:
                    await run_unless(_require_ready(runtime), shutdown.requested)
                runtime.expect_beats()
                routes, destinations = list(runtime.routes), list(runtime.destinations)
                self._log.info("started", routes=routes, destinations=destinations, pid=os.getpid())
                stop = self._final_pass.over if finish else shutdown.requested
                drained = await self._delivery.run(runtime.delivery_services(), stop, shutdown.forced)
            self._log.info("stopped", drained=drained)
        return drained, self._final_pass.undelivered

    def _fixed_services(self, hangup: asyncio.Event, *, finish: bool) -> list[Service]:
        """List the support services that belong to no pipeline; a reload keeps them."""
        runtime, lag = self._runtime, LagMeter(self._runtime.metrics.loop_lag, self._runtime.clock)
        handlers = control_handlers(runtime, self._reloader)
        services = [
            *self._monitoring.services(),
            Service("lag", lag.run),
            Service("control", ControlSocket(runtime.config.state_dir, handlers).run),
            Service("hangups", partial(self._reloader.run, hangup)),
        ]
        if self._notifier:
            systemd = SystemdNotifier(self._notifier, runtime, lag, self._shutdown.requested)
            services.append(Service("systemd", systemd.run))
        if finish:
            services.append(Service("final_pass", self._final_pass.run))
        return services


async def _require_ready(runtime: Runtime) -> None:
    for name, pipeline in runtime.destinations.items():
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await pipeline.bucket.probe(runtime.config.destinations[name].key_prefix)
        except Fault as fault:
            raise NotReadyError(f"destination {name} can't be used: {fault}") from fault
        except TimeoutError as error:
            raise NotReadyError(f"destination {name} did not answer within {_READY_SECONDS:.0f} s.") from error
