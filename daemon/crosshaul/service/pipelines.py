"""The pipelines of a runtime: one per destination, which sends files, and one per route, which finds them."""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.aws.bucket import Bucket
from crosshaul.aws.refresher import Refresher
from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.delivery.abandoned_uploads import UploadAborter
from crosshaul.delivery.after_upload.object_check import ObjectCheck
from crosshaul.delivery.after_upload.source_finisher import SourceFinisher
from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.transfer_loop import Transfer
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.discovery.intake import Intake


@dataclass(frozen=True, slots=True)
class DestinationPipeline:
    """One destination: its credentials, its connections, the transfer of its files and their status."""

    built_from: tuple[object, ...]
    """The configuration that the pipeline depends on. While it is equal, a reload keeps the pipeline."""
    refresher: Refresher
    bucket: Bucket
    reporter: Reporter
    transfer: Transfer
    context: UploadContext
    limit: AdaptiveLimit
    object_check: ObjectCheck
    aborter: UploadAborter

    async def close(self) -> None:
        """Close the connections, and let the reading threads end."""
        await self.bucket.close()
        self.context.files.close()


@dataclass(frozen=True, slots=True)
class RoutePipeline:
    """One route: finding its files, and deleting or moving them after their delivery."""

    built_from: tuple[object, ...]
    """The configuration that the pipeline depends on. While it is equal, a reload keeps the pipeline."""
    intake: Intake
    source_finisher: SourceFinisher
    threads: ThreadPool

    async def close(self) -> None:
        """Let the threads end."""
        self.intake.close()
        self.threads.close()


Pipeline = DestinationPipeline | RoutePipeline
