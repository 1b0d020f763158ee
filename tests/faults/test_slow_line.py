"""Low bandwidth and late responses: each body is sent once, however long it takes."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crosshaul.aws import http1
from crosshaul.concurrency.token_bucket import RateStep
from crosshaul.model import RetryLater, State
from crosshaul.partner import PartnerAccount, Rule, Stall
from support.pipeline import MIB, open_pipeline
from support.slow_line import slow_line

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("account_a")]

SHORT = http1.Deadlines(progress=2.0, response=2.0)
"""A fifteenth of the real ones for a body that stands still, and a thirtieth for an answer."""


def port_of(account: PartnerAccount) -> int:
    port = urlsplit(account.endpoint_url).port
    assert port is not None
    return port


async def test_a_file_in_parts_crosses_a_slow_line_once(partner: PartnerAccount, tmp_path: Path):
    """Parts that take many times any deadline arrive in nearly the ideal time, and none is sent twice."""
    data = os.urandom(20 * MIB)
    rate = 2.5 * MIB
    async with slow_line(port_of(partner), rate) as line:
        endpoint = f"http://127.0.0.1:{line.port}"
        async with open_pipeline(partner, tmp_path, deadlines=SHORT, endpoint_url=endpoint) as pipeline:
            began = time.monotonic()
            await pipeline.drop("big", data)
            await pipeline.comes_to("big", State.DELIVERED)
            took = time.monotonic() - began
        assert Counter(call.part for call in pipeline.calls("UploadPart")) == {1: 1, 2: 1, 3: 1, 4: 1}
        assert line.carried < 1.05 * len(data)
        assert took < 1.15 * len(data) / rate + 1


async def test_many_files_cross_a_slow_line_once(partner: PartnerAccount, tmp_path: Path):
    """Sixty files that share a connection for longer than any deadline are each sent once."""
    async with slow_line(port_of(partner), 1.5 * MIB) as line:
        endpoint = f"http://127.0.0.1:{line.port}"
        async with open_pipeline(
            partner, tmp_path, deadlines=SHORT, endpoint_url=endpoint, max_concurrency=64, running=False
        ) as pipeline:
            for number in range(60):
                await pipeline.drop(f"{number}", os.urandom(100_000))
            pipeline.start()
            for number in range(60):
                await pipeline.comes_to(f"{number}", State.DELIVERED)
        assert not [outcome for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)]
        assert line.carried < 1.05 * 60 * 100_000


LATE = http1.Deadlines(progress=0.4, response=0.6)


@pytest.mark.parametrize(
    ("slowness", "code"), [(Stall(seconds=1.4), "ResponseTimeout"), (Stall(1.0, where="unread"), "ProgressTimeout")]
)
async def test_parts_that_are_late_each_time_are_accepted(partner: PartnerAccount, tmp_path: Path, slowness, code):
    """A store that responds to each part far later than the default deadline has the file after a few attempts."""
    partner.faults.add(Rule(operation="UploadPart", times=None, action=slowness))
    async with open_pipeline(partner, tmp_path, deadlines=LATE) as pipeline:
        await pipeline.drop("file", os.urandom(12 * MIB))
        await pipeline.comes_to("file", State.DELIVERED)
        codes = {outcome.diagnosis.code for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)}
        assert codes == {code}
        assert len(pipeline.calls("UploadPart")) <= 9


async def test_what_one_late_answer_taught_spares_the_next_file_a_try(partner: PartnerAccount, tmp_path: Path):
    """After one late response the parts of another file are each sent once."""
    partner.faults.add(Rule(operation="UploadPart", times=None, action=Stall(seconds=1.0)))
    async with open_pipeline(partner, tmp_path, deadlines=LATE) as pipeline:
        await pipeline.drop("first", os.urandom(9 * MIB))
        await pipeline.comes_to("first", State.DELIVERED)
        sent = len(pipeline.calls("UploadPart"))
        await pipeline.drop("second", os.urandom(9 * MIB))
        await pipeline.comes_to("second", State.DELIVERED)
        assert len(pipeline.calls("UploadPart")) == sent + 2


async def test_an_object_whose_answer_comes_late_is_not_sent_again(partner: PartnerAccount, tmp_path: Path):
    """A small file whose response was given up is found by HEAD."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=Stall(seconds=1.0)))
    async with open_pipeline(partner, tmp_path, deadlines=LATE) as pipeline:
        await pipeline.drop("small", b"x")
        await pipeline.comes_to("small", State.DELIVERED)
    assert len(pipeline.calls("PutObject")) <= 1


@pytest.mark.parametrize(("files", "size", "rate"), [(60, 12_000, 160_000), (12, 100_000, 256_000)])
async def test_a_bandwidth_limit_is_used_and_kept(partner: PartnerAccount, tmp_path: Path, files, size, rate):
    """Many files under a limit take the time that their bytes take at that rate."""
    async with slow_line(port_of(partner), 1e9) as line:
        endpoint = f"http://127.0.0.1:{line.port}"
        async with open_pipeline(
            partner,
            tmp_path,
            deadlines=SHORT,
            endpoint_url=endpoint,
            bytes_per_second=rate,
            max_concurrency=64,
            running=False,
        ) as pipeline:
            for number in range(files):
                await pipeline.drop(f"{number}", os.urandom(size))
            began = time.monotonic()
            pipeline.start()
            for number in range(files):
                await pipeline.comes_to(f"{number}", State.DELIVERED)
            took = time.monotonic() - began
        assert 0.8 < line.carried / (took * rate) < 1.05
        assert line.connections < files
        assert not [outcome for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)]


async def test_a_limit_that_is_lifted_acts_at_once(partner: PartnerAccount, tmp_path: Path):
    """Files that would take half a minute each are delivered at once after the limit was raised."""
    async with open_pipeline(partner, tmp_path, bytes_per_second=8_192, running=False) as pipeline:
        for number in range(30):
            await pipeline.drop(f"{number}", os.urandom(200_000))
        pipeline.start()
        await asyncio.sleep(1)
        assert (await pipeline.record("0")).state is not State.DELIVERED
        pipeline.runtime.bandwidth.override((RateStep(None, 10 * MIB),))
        began = time.monotonic()
        for number in range(30):
            await pipeline.comes_to(f"{number}", State.DELIVERED)
        assert time.monotonic() - began < 10
