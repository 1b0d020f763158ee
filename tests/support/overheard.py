"""A pipeline whose output is recorded: log, diagnoses, journal. No secret may be in any of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosshaul.errors import Diagnosis
from crosshaul.model import Quarantine, RetryLater
from crosshaul.partner import Error, PartnerAccount
from crosshaul.partner.exchange import Exchange
from support.pipeline import Pipeline, open_pipeline


@dataclass
class Indiscreet(Error):
    """An error that quotes its request: session token, secret key, and external ID."""

    async def on_request(self, exchange: Exchange) -> None:
        """Quote the request, then respond as any error does."""
        words = self.message.partition("\n")[0]
        self.message = "\n".join([words, *exchange.state.secrets()])
        await super().on_request(exchange)


@asynccontextmanager
async def overheard(account: PartnerAccount, home: Path, **options: Any) -> AsyncIterator[Pipeline]:
    """``open_pipeline``; at its end every diagnosis is one line with code and request id, and no secret was logged."""
    async with open_pipeline(account, home, **options) as pipeline:
        yield pipeline
    check_lines(pipeline)
    said = "\n".join(each.line() for each in diagnoses(pipeline))
    texts = [
        said.encode(),
        pipeline.log.getvalue().encode(),
        *(file.read_bytes() for file in (home / "state").iterdir() if file.is_file()),
    ]
    for secret in account.secrets():
        assert not any(secret.encode() in text for text in texts)


def diagnoses(pipeline: Pipeline) -> list[Diagnosis]:
    """Return all failures that the loop reported."""
    outcomes = [outcome for _, outcome in pipeline.observer.outcomes]
    of_files = [each.diagnosis for each in outcomes if isinstance(each, RetryLater | Quarantine)]
    return [each for each in (*of_files, *pipeline.observer.parkings, *pipeline.observer.refusals) if each is not None]


_NOBODY_S = {"UnexpectedResponse", "UnverifiedUpload", "ChecksumMismatch"}
"""Said by nobody but us, of an answer that was none."""


def check_lines(pipeline: Pipeline) -> None:
    """Check that each is one line with the code and, if there was a response, the request id."""
    for said in diagnoses(pipeline):
        line = said.line()
        assert line.isprintable(), line
        assert said.code in line
        if said.status is not None and said.code not in _NOBODY_S:
            assert said.request_id, line
            assert said.request_id in line
