"""The daemon: everything opened, its services under a supervisor, until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import Config, files_writable_by_others
from crosshaul.errors import Fault, NotReadyError
from crosshaul.service.control_handlers import actions
from crosshaul.service.control_socket import ControlSocket
from crosshaul.service.final_pass import FinalPass
from crosshaul.service.monitoring import Monitoring
from crosshaul.service.reload import ConfigReloader
from crosshaul.service.runtime import Runtime
from crosshaul.service.shutdown import Shutdown
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.service.systemd import SystemdNotifier, open_runtime_extending_start
from crosshaul.telemetry import logs
from crosshaul.telemetry.descriptors import AcceptErrorHandler
from crosshaul.telemetry.lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier

_READY_WITHIN = 60.0


async def run(config: Config, file: Path, *, require_ready: bool = False, finish: bool = False) -> int:
    """The daemon, until SIGTERM or SIGINT; ``file`` is what it reads its configuration from again at SIGHUP.

    With ``finish`` it first looks once more and delivers what is at rest, all within ``shutdown_timeout``.

    Returns 0 after a full drain, 1 if something was cut off (it is resumable), but to a service manager's stop 0.
    Raises LockedError, StateDirError, ConfigError and, with ``require_ready``, NotReadyError.
    """
    clock, log = SystemClock(), logs.get("crosshaul")
    shutdown = Shutdown(config.shutdown_timeout)
    shutdown.listen(signal.SIGTERM, signal.SIGINT)
    asyncio.get_running_loop().set_exception_handler(AcceptErrorHandler(log))
    hung_up, notifier = asyncio.Event(), Notifier.from_environment()
    shutdown.listen_for_hangup(hung_up)
    for line in await asyncio.to_thread(files_writable_by_others, config, file):
        log.warning("file_open_to_others", error=line)
    async with (
        open_runtime_extending_start(config, clock, notifier) as runtime,
        (teller := Monitoring(runtime)).serving(),
    ):
        support_supervisor, delivery_supervisor = (Supervisor(clock, log, config.shutdown_timeout) for _ in range(2))
        lag = LagMeter(runtime.metrics.loop_lag, clock)
        final_pass = FinalPass(runtime, shutdown.requested, shutdown.forced, log)
        reloading = ConfigReloader(runtime, file, delivery_supervisor, support_supervisor, notifier)
        reloading.always = [
            *teller.services(),
            Service("lag", lag.run),
            *(
                [Service("systemd", SystemdNotifier(notifier, runtime, lag, shutdown.requested).run)]
                if notifier
                else []
            ),
            Service("control", ControlSocket(config.state_dir, actions(runtime, reloading)).run),
            Service("hangups", partial(reloading.at_each, hung_up)),
            *([Service("last round", final_pass.run)] if finish else []),
        ]
        async with support_supervisor.around([*runtime.support_services(), *reloading.always], shutdown.forced):
            if require_ready:
                await _unless(shutdown.requested, _require_ready(runtime))
            runtime.expect_beats()
            log.info("started", routes=list(runtime.routes), destinations=list(runtime.destinations), pid=os.getpid())
            drained = await delivery_supervisor.run(
                runtime.delivery_services(), final_pass.over if finish else shutdown.requested, shutdown.forced
            )
        log.info("stopped", drained=drained)
    # Nothing is lost by a cut, and the service manager would call a unit failed that ended as it had asked it to.
    return 0 if (drained and not final_pass.left) or (notifier and shutdown.requested.is_set() and not finish) else 1


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end, or until ``stop``."""
    tasks = [asyncio.create_task(work), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _require_ready(runtime: Runtime) -> None:
    for name, pipeline in runtime.destinations.items():
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await pipeline.bucket.probe(runtime.config.destinations[name].key_prefix)
        except Fault as fault:
            raise NotReadyError(f"destination {name} can't be used: {fault}") from fault
        except TimeoutError as error:
            raise NotReadyError(f"destination {name} gave no answer within {_READY_WITHIN:.0f} s.") from error
