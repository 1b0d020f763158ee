"""The runtime of a daemon or a push: what all pipelines share, and a pipeline per destination and per route.

A reload replaces pipelines while the runtime works (``reload.py``): look a pipeline up at each use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import Clock
from crosshaul.concurrency.token_bucket import RateStep
from crosshaul.config import Config, Route
from crosshaul.discovery.followed_links import FollowedLinks
from crosshaul.discovery.retarget_count import Retarget
from crosshaul.discovery.scan_results import PathStats
from crosshaul.journal import Journal
from crosshaul.model import LARGE, PlanId
from crosshaul.service.pipelines import DestinationPipeline, Pipeline, RoutePipeline
from crosshaul.service.supervisor import Service
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.metrics import Metrics


@dataclass(slots=True)
class Runtime:
    """Everything that is open. Built by ``builder.open_runtime``."""

    config: Config
    base_credentials: BaseCredentials
    clock: Clock
    journal: Journal
    metrics: Metrics
    liveness: Liveness
    bandwidth: BandwidthLimiter
    destinations: dict[str, DestinationPipeline] = field(default_factory=dict)
    """Destination pipelines, by name."""
    routes: dict[str, RoutePipeline] = field(default_factory=dict)
    """Route pipelines, by name."""
    plans: dict[str, PlanId] = field(default_factory=dict)
    """The plan that each route's files are judged by, by route."""
    retargets: list[Retarget] = field(default_factory=list)
    """Files that the configuration in force queues again, for another bucket or key."""
    links: FollowedLinks = field(default_factory=FollowedLinks)
    """Targets of the symlinks that routes follow."""
    in_transit: set[str] = field(default_factory=set)
    """Routes that a reload added or gave to another pipeline. No file of theirs is claimed before the former pipelines
    have drained (``hand_over_routes``)."""
    paused: set[str] = field(default_factory=set)
    """Routes that send nothing until they are resumed or the daemon restarts."""

    def delivery_services(self) -> list[Service]:
        """List the services that find, send and finish files. They stop before the support services."""
        services = [Service(f"intake.{name}", pipeline.intake.run) for name, pipeline in self.routes.items()]
        services += [Service(f"after.{name}", pipeline.source_finisher.run) for name, pipeline in self.routes.items()]
        return [*services, *self.transfer_services(), *self.abort_services()]

    def transfer_services(self) -> list[Service]:
        """List the services that send files."""
        return [Service(f"transfer.{name}", pipeline.transfer.run) for name, pipeline in self.destinations.items()]

    def abort_services(self) -> list[Service]:
        """List the services that abort abandoned multipart uploads."""
        return [Service(f"aborts.{name}", pipeline.aborter.run) for name, pipeline in self.destinations.items()]

    def support_services(self) -> list[Service]:
        """List the services that the delivery services need until they have drained."""
        destinations = self.destinations.items()
        return [
            *(Service(f"credentials.{name}", pipeline.refresher.run) for name, pipeline in destinations),
            *(Service(f"report.{name}", pipeline.reporter.run) for name, pipeline in destinations),
        ]

    def routes_of(self, destination: str) -> dict[str, Route]:
        """Return the running routes of a destination, by name."""
        running = [route for route in self.config.routes if route.name in self.routes]
        return {route.name: route for route in running if route.destination == destination}

    def destination_of(self, route: str) -> DestinationPipeline:
        """Return the destination pipeline of a running route."""
        return next(pipeline for name, pipeline in self.destinations.items() if route in self.routes_of(name))

    def replace_pipelines(
        self,
        config: Config,
        destinations: dict[str, DestinationPipeline],
        routes: dict[str, RoutePipeline],
        plans: Mapping[str, PlanId],
    ) -> list[Pipeline]:
        """Put a configuration and its pipelines in force; return the pipelines that are replaced, still open."""
        former: list[Pipeline] = [*self.destinations.values(), *self.routes.values()]
        former_destinations = {route: self.destination_of(route) for route in self.routes}
        self.config, self.destinations, self.routes, self.plans = config, destinations, routes, dict(plans)
        self.paused.intersection_update(routes)
        for route, pipeline in former_destinations.items():
            if route not in routes or self.destination_of(route) is not pipeline:
                self.in_transit.add(route)
        if former_destinations:
            self.in_transit.update(route for route in routes if route not in former_destinations)
        self.assign_routes()
        kept = {id(pipeline) for pipeline in (*destinations.values(), *routes.values())}
        return [pipeline for pipeline in former if id(pipeline) not in kept]

    async def hand_over_routes(self) -> None:
        """Queue again what the former pipelines left uploading, and let the new ones claim. The former have drained."""
        await self.journal.reclaim(tuple(self.in_transit))
        self.in_transit.clear()
        self.assign_routes()

    def assign_routes(self) -> None:
        """Give each destination pipeline its routes, and the bandwidth limiter its timetable."""
        steps = self.config.transfer.bandwidth
        self.bandwidth.schedule(tuple(RateStep(step.start, step.bytes_per_second) for step in steps))
        idle = self.paused | self.in_transit
        for name, pipeline in self.destinations.items():
            routes = self.routes_of(name)
            plans = {route: self.plans[route].id for route in routes}
            pipeline.transfer.set_routes(routes, [route for route in routes if route not in idle], plans)

    def pause(self, routes: Iterable[str]) -> None:
        """Send no further files of ``routes``. Files being sent are sent to their end."""
        self.paused.update(routes)
        self.assign_routes()

    def resume(self, routes: Iterable[str]) -> None:
        """Send files of ``routes`` again."""
        self.paused.difference_update(routes)
        self.assign_routes()

    def memory_share(self) -> int:
        """Return the bytes of large files that one destination may hold in memory.

        All destinations have equal shares, so that a destination that stalls cannot hold all memory.
        """
        return max(self.config.transfer.part_size, self._destination_memory() - self.memory_share_of_small())

    def memory_share_of_small(self) -> int:
        """Return the bytes of small files that one destination may hold: a quarter of its memory.

        By default that is 64 of the largest small files.
        """
        memory = self._destination_memory()
        return min(max(LARGE, memory // 4), memory // 2)

    def _destination_memory(self) -> int:
        return self.config.transfer.memory_limit // max(1, len(self.destinations))

    def expect_beats(self) -> None:
        """Expect a heartbeat of each running transfer, and of no other loop."""
        self.liveness.expect(*(f"transfer.{name}" for name in self.destinations))

    def wake(self) -> None:
        """Wake the transfers: files may have become due."""
        for pipeline in self.destinations.values():
            pipeline.transfer.wake()

    def hint(self, route: str, path: bytes) -> None:
        """Have a path of ``route`` looked at, because its file was found changed."""
        if route in self.routes:
            self.routes[route].intake.hint(path)

    async def stat_paths(self, route: str, paths: Sequence[bytes]) -> PathStats | None:
        """Return the state of paths of ``route``; None where it can't be known."""
        return await self.routes[route].intake.stat_paths(paths) if route in self.routes else None

    async def close(self) -> None:
        """Close the pipelines. The journal stays open."""
        pipelines: list[Pipeline] = [*self.destinations.values(), *self.routes.values()]
        for pipeline in pipelines:
            await pipeline.close()
