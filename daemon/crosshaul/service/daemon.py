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
from crosshaul.service.systemd import SystemdNotifier, opened_in_time
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
    stop = Shutdown(config.shutdown_timeout)
    stop.listen(signal.SIGTERM, signal.SIGINT)
    asyncio.get_running_loop().set_exception_handler(AcceptErrorHandler(log))
    hung_up, notifier = asyncio.Event(), Notifier.from_environment()
    stop.listen_for_hangup(hung_up)
    for line in await asyncio.to_thread(files_writable_by_others, config, file):
        log.warning("file_open_to_others", error=line)
    async with opened_in_time(config, clock, notifier) as house, (teller := Monitoring(house)).serving():
        helping, carrying = (Supervisor(clock, log, config.shutdown_timeout) for _ in range(2))
        lag = LagMeter(house.metrics.loop_lag, clock)
        last_round = FinalPass(house, stop.asked, stop.hurry, log)
        reloading = ConfigReloader(house, file, carrying, helping, notifier)
        reloading.always = [
            *teller.services(),
            Service("lag", lag.run),
            *([Service("systemd", SystemdNotifier(notifier, house, lag, stop.asked).run)] if notifier else []),
            Service("control", ControlSocket(config.state_dir, actions(house, reloading)).run),
            Service("hangups", partial(reloading.at_each, hung_up)),
            *([Service("last round", last_round.run)] if finish else []),
        ]
        async with helping.around([*house.helpers(), *reloading.always], stop.hurry):
            if require_ready:
                await _unless(stop.asked, _require_ready(house))
            house.expect_pulse()
            log.info("started", routes=list(house.ways), destinations=list(house.lanes), pid=os.getpid())
            drained = await carrying.run(house.carriers(), last_round.over if finish else stop.asked, stop.hurry)
        log.info("stopped", drained=drained)
    # Nothing is lost by a cut, and the service manager would call a unit failed that ended as it had asked it to.
    return 0 if (drained and not last_round.left) or (notifier and stop.asked.is_set() and not finish) else 1


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


async def _require_ready(house: Runtime) -> None:
    for name, lane in house.lanes.items():
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await lane.bucket.probe(house.config.destinations[name].key_prefix)
        except Fault as fault:
            raise NotReadyError(f"destination {name} can't be used: {fault}") from fault
        except TimeoutError as error:
            raise NotReadyError(f"destination {name} gave no answer within {_READY_WITHIN:.0f} s.") from error
