"""What a daemon or a push consists of, opened: a pipeline for each destination, a way for each route.

What is in it may change while it is at work (``reload.py``); who needs a part asks for it each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.refresher import Refresher
from crosshaul.concurrency.adaptive_limit import RateStep
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Config, Route
from crosshaul.delivery.abandoned_uploads import Aborter
from crosshaul.delivery.after_upload.after_upload import SourceFinisher
from crosshaul.delivery.after_upload.object_check import ObjectCheck
from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.transfer import Transfer
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.intake import Intake
from crosshaul.discovery.retargeting import Retarget
from crosshaul.discovery.scanner import PathStats
from crosshaul.files.reader import FileReader
from crosshaul.journal import Journal
from crosshaul.model import LARGE, PlanId
from crosshaul.service.supervisor import Service
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class DestinationPipeline:
    """One destination with all that serves it."""

    built_from: tuple[object, ...]
    """All of the configuration that it depends on: as long as that stays, so does the pipeline."""
    refresher: Refresher
    bucket: Bucket
    reporter: Reporter
    transfer: Transfer
    readers: FileReader
    objects: ObjectCheck
    aborter: Aborter

    async def close(self) -> None:
        """Close the connections, and let the threads end."""
        await self.bucket.close()
        self.readers.close()


@dataclass(frozen=True, slots=True)
class RoutePipeline:
    """One route: what finds its files, and what becomes of them in the end."""

    built_from: tuple[object, ...]
    intake: Intake
    after: SourceFinisher
    threads: ThreadPool

    async def close(self) -> None:
        """Let the threads end."""
        self.intake.close()
        self.threads.close()


@dataclass(slots=True)
class Runtime:
    """Everything, opened."""

    config: Config
    base_credentials: BaseCredentials
    clock: Clock
    journal: Journal
    metrics: Metrics
    liveness: Liveness
    bandwidth: BandwidthLimiter
    destinations: dict[str, DestinationPipeline] = field(default_factory=dict)
    routes: dict[str, RoutePipeline] = field(default_factory=dict)
    plans: dict[str, PlanId] = field(default_factory=dict)
    """What the routes' files are judged by, by route."""
    retargets: list[Retarget] = field(default_factory=list)
    """What the configuration in force has go again."""
    links: FollowedLinks = field(default_factory=FollowedLinks)
    """Where the symlinks lead that routes follow."""
    in_transit: set[str] = field(default_factory=set)
    """Routes that are new, or whose pipeline is another one now, or none: nothing of theirs is claimed until the former
    pipelines have ended."""
    paused: set[str] = field(default_factory=set)
    """Routes that send nothing until they are resumed, or the daemon is started anew."""

    def delivery_services(self) -> list[Service]:
        """The services that move files; they stop first."""
        services = [Service(f"intake.{name}", route.intake.run) for name, route in self.routes.items()]
        services += [Service(f"after.{name}", route.after.run) for name, route in self.routes.items()]
        return [*services, *self.transfer_services(), *self.abort_services()]

    def transfer_services(self) -> list[Service]:
        """The services that send."""
        return [Service(f"transfer.{name}", pipeline.transfer.run) for name, pipeline in self.destinations.items()]

    def abort_services(self) -> list[Service]:
        """The services that clear up in the buckets."""
        return [Service(f"aborts.{name}", pipeline.aborter.run) for name, pipeline in self.destinations.items()]

    def support_services(self) -> list[Service]:
        """The services that the others need to the last."""
        services = [
            Service(f"credentials.{name}", pipeline.refresher.run) for name, pipeline in self.destinations.items()
        ]
        services += [Service(f"report.{name}", pipeline.reporter.run) for name, pipeline in self.destinations.items()]
        return services

    def routes_of(self, destination: str) -> dict[str, Route]:
        """The routes that are at work and go there."""
        at_work = [each for each in self.config.routes if each.name in self.routes]
        return {each.name: each for each in at_work if each.destination == destination}

    def pipeline_for(self, route: str) -> DestinationPipeline:
        """The pipeline that serves a route."""
        return next(pipeline for name, pipeline in self.destinations.items() if route in self.routes_of(name))

    def current_pipeline_for(self, route: str) -> DestinationPipeline | None:
        """The pipeline that serves a route, which may be configured no more."""
        return self.pipeline_for(route) if route in self.routes else None

    async def hand_over_routes(self) -> None:
        """Put back what former pipelines left uploading: they have ended. Then the routes are their new pipelines'."""
        await self.journal.reclaim(tuple(self.in_transit))
        self.in_transit.clear()
        self.assign()

    def memory_share(self) -> int:
        """Bytes of large files that one pipeline may hold: all share alike, so that one that stalls can't sit on it."""
        return max(self.config.transfer.part_size, self._pipeline_memory() - self.memory_share_of_small())

    def memory_share_of_small(self) -> int:
        """Bytes of small files that one pipeline may hold: a quarter, which is 64 of the largest of them by default."""
        pipeline = self._pipeline_memory()
        return min(max(LARGE, pipeline // 4), pipeline // 2)

    def _pipeline_memory(self) -> int:
        return self.config.transfer.memory_limit // max(1, len(self.destinations))

    def pause(self, routes: Iterable[str]) -> None:
        """Send nothing more of these; what is being sent is sent to its end."""
        self.paused.update(routes)
        self.assign()

    def resume(self, routes: Iterable[str]) -> None:
        """Send these again."""
        self.paused.difference_update(routes)
        self.assign()

    def assign(self) -> None:
        """Tell each pipeline which routes it serves, and the line its timetable."""
        self.bandwidth.schedule(
            tuple(RateStep(each.start, each.bytes_per_second) for each in self.config.transfer.bandwidth)
        )
        for name, pipeline in self.destinations.items():
            routes = self.routes_of(name)
            plans = {route: self.plans[route].id for route in routes}
            idle = self.paused | self.in_transit
            pipeline.transfer.serve(routes, [route for route in routes if route not in idle], plans)

    def expect_beats(self) -> None:
        """The loops that are here have to beat from now on, and no others."""
        self.liveness.expect(*(f"transfer.{name}" for name in self.destinations))

    def wake(self) -> None:
        """Something may have become due."""
        for pipeline in self.destinations.values():
            pipeline.transfer.wake()

    def hint(self, route: str, path: bytes) -> None:
        """Have a file that was found changed looked at."""
        if route in self.routes:
            self.routes[route].intake.hint(path)

    async def stat_paths(self, route: str, paths: Sequence[bytes]) -> PathStats | None:
        """What is at these paths of a route; None where nothing can be said of them."""
        return await self.routes[route].intake.look(paths) if route in self.routes else None

    async def close(self) -> None:
        """Close what is open but the journal."""
        parts: list[DestinationPipeline | RoutePipeline] = [*self.destinations.values(), *self.routes.values()]
        for part in parts:
            await part.close()
