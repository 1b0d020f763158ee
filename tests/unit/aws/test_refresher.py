"""The refresher with Account A's credentials and the assumed role's, on the strict partner account."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.refresher import Refresher, Session
from crosshaul.aws.sigv4 import Credentials
from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import Config, load
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.partner import PartnerAccount, Rule
from crosshaul.partner.policy import AccessRequest, Verdict
from support.virtual_time import SkewedClock


class RecordingObserver:
    """Records the renewals and refusals of a refresher."""

    def __init__(self) -> None:
        self.renewals: list[float | None] = []
        self.refusals: list[Diagnosis] = []

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        self.renewals.append(expires_in)

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        self.refusals.append(diagnosis)


@pytest.fixture(autouse=True)
def account_a(partner: PartnerAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set only Account A's user in the environment, without this machine's own credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", partner.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", partner.secret_access_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
def config_for(partner: PartnerAccount, tmp_path: Path) -> Callable[[str], Config]:
    def make(more: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(
            f"state_dir: {tmp_path}/state\n"
            f"identity: {{sts_endpoint_url: '{partner.sts_endpoint_url}'}}\n"
            f"destinations: {{partner: {{bucket: {partner.bucket}, endpoint_url: '{partner.endpoint_url}', {more}}}}}\n"
            f"routes: [{{name: r, path: {tmp_path}/root}}]\n"
        )
        return load(path)

    return make


@asynccontextmanager
async def refreshing(
    config: Config, clock: SystemClock | None = None
) -> AsyncIterator[tuple[Refresher, RecordingObserver]]:
    observer = RecordingObserver()
    refresher = Refresher(
        BaseCredentials(config.identity), config.destinations["partner"], clock or SystemClock(), observer
    )
    async with refresher.running():
        yield refresher, observer


def role(partner: PartnerAccount, external_id: str | None = None) -> str:
    return f"role_arn: '{partner.role_arn}', external_id: '{external_id or partner.external_id}'"


def assumptions(partner: PartnerAccount) -> list[int | None]:
    return [call.status for call in partner.calls if call.operation == "AssumeRole"]


async def test_the_role_is_assumed_with_external_id_name_duration_and_session_policy(partner, config_for):
    """With the external ID the role's credentials are a session's, valid for the requested time."""
    async with refreshing(config_for(role(partner))) as (refresher, _):
        credentials = await refresher.credentials()
        assert credentials.access_key_id.startswith("ASIA")
        assert credentials.session_token
        assert 3590 < (refresher.expires_in() or 0) <= 3600


async def test_a_wrong_external_id_is_an_access_denied_that_names_both_possible_culprits(partner, config_for):
    """STS's error is one line with code, request id, and what each account has to check."""
    async with refreshing(config_for(role(partner, "not-the-one"))) as (refresher, _):
        with pytest.raises(Fault) as caught:
            await refresher.credentials()
    said = caught.value.diagnosis
    assert (said.kind, said.code, said.status) == (FaultKind.DESTINATION, "AccessDenied", 403)
    assert said.request_id
    assert "external ID" in str(caught.value)
    assert "sts:AssumeRole" in str(caught.value)
    assert "not-the-one" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_list_of_external_ids_is_tried_in_order(partner, config_for):
    """During a rotation the external ID that the partner still has is accepted."""
    more = f"role_arn: '{partner.role_arn}', external_id: [the-new-one, '{partner.external_id}']"
    async with refreshing(config_for(more)) as (refresher, observer):
        await refresher.credentials()
    assert assumptions(partner) == [403, 200]
    assert observer.refusals == []


async def test_without_a_role_account_a_uses_its_own_credentials(partner, config_for):
    """Without a role STS is not called."""
    async with refreshing(config_for("tags: {}")) as (refresher, _):
        credentials = await refresher.credentials()
    assert credentials.access_key_id == partner.access_key_id
    assert assumptions(partner) == []


async def test_many_callers_share_one_refresh(partner, config_for):
    """A hundred uploads whose session was rejected cause one AssumeRole."""
    async with refreshing(config_for(role(partner))) as (refresher, _):
        old = await refresher.credentials()
        await asyncio.gather(*(refresher.renew(old) for _ in range(100)))
        new = await refresher.credentials()
    assert new != old
    assert len(assumptions(partner)) == 2


async def test_renewing_what_was_renewed_already_does_nothing(partner, config_for):
    """A late rejection of an older session does not replace the newer one."""
    async with refreshing(config_for(role(partner))) as (refresher, _):
        old = await refresher.credentials()
        await refresher.renew(old)
        await refresher.renew(old)
    assert len(assumptions(partner)) == 2


async def test_a_skewed_clock_neither_shortens_nor_stretches_a_session(partner, config_for):
    """Expiry is counted from the server's Date, so a wrong clock does not change a session's length."""
    async with refreshing(config_for(role(partner)), SkewedClock(600)) as (refresher, _):
        await refresher.credentials()
        assert 3590 < (refresher.expires_in() or 0) <= 3600


async def test_without_any_credentials_the_line_says_where_they_may_come_from(partner, config_for, monkeypatch):
    """Missing credentials are a fault of the destination, not of a file, and the line says where they can come from."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with refreshing(config_for(role(partner))) as (refresher, _):
        with pytest.raises(Fault, match="no credentials of Account A found") as caught:
            await refresher.credentials()
    assert caught.value.kind is FaultKind.DESTINATION


async def test_an_unknown_profile_is_named(partner, config_for):
    """A missing profile is reported with its name."""
    config = config_for(role(partner))
    config = config.model_copy(update={"identity": config.identity.model_copy(update={"profile": "nobody"})})
    async with refreshing(config) as (refresher, _):
        with pytest.raises(Fault, match="nobody"):
            await refresher.credentials()


def test_margins_scale_with_the_life_of_a_session():
    """An hour's session is renewed ten minutes and used until a minute before its end; short ones in proportion."""
    hour = Session(Credentials("a", "b", "c"), 0.0, 3600.0)
    assert hour.usable_until() == 3540.0
    assert hour.refresh_at(0.0) == 3000.0
    assert hour.refresh_at(1.0) == 2940.0
    short = dataclasses.replace(hour, end=15.0)
    assert short.usable_until() == 14.0
    assert short.refresh_at(0.0) == 12.0
    assert dataclasses.replace(hour, end=None).usable_until() == float("inf")


@pytest.mark.parametrize("program", ["/bin/false", "/bin/echo no JSON"])
async def test_a_provider_that_fails_oddly_is_a_fault_and_not_a_crash(
    program: str, partner, config_for, monkeypatch, tmp_path
):
    """A failing credential_process is reported without its output, and tried again."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "aws").write_text(f"[default]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    async with refreshing(config_for(role(partner))) as (refresher, observer):
        with pytest.raises(Fault) as caught:
            await refresher.credentials()
        assert caught.value.kind is FaultKind.DESTINATION
        assert "no JSON" not in str(caught.value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", partner.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", partner.secret_access_key)
        async with asyncio.timeout(60):
            while not observer.renewals:
                await asyncio.sleep(0.02)


async def test_an_unexpected_error_in_the_credential_chain_is_reported_by_its_type(partner, config_for, monkeypatch):
    """An unexpected error is reported by its source and type, because its text may contain a secret."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(BaseCredentials, "assume_role", fail)
    async with refreshing(config_for(role(partner))) as (refresher, _):
        with pytest.raises(Fault) as caught:
            await refresher.credentials()
    text = "can't load Account A's credentials: ZeroDivisionError in the credential chain"
    assert caught.value.diagnosis.message == text


async def test_many_callers_at_the_start_wait_for_one_assumption(partner, config_for):
    """A hundred uploads that start together cause one AssumeRole."""
    async with refreshing(config_for(role(partner))) as (refresher, _):
        assert len({await one for one in asyncio.as_completed([refresher.credentials() for _ in range(100)])}) == 1
        await asyncio.sleep(0.3)
    assert assumptions(partner) == [200]


async def test_a_file_of_external_ids_that_hangs_takes_nobody_elses_thread(partner, config_for, tmp_path):
    """While a read of the external ID's file hangs, other reads continue."""
    hanging = tmp_path / "external_id"
    os.mkfifo(hanging)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with refreshing(config_for(f"role_arn: '{partner.role_arn}', external_id_file: '{hanging}'")):
        async with asyncio.timeout(60):
            await asyncio.sleep(0.3)
            assert await asyncio.to_thread(lambda: 42) == 42
        writer = await asyncio.to_thread(os.open, hanging, os.O_WRONLY)
        os.write(writer, partner.external_id.encode())
        os.close(writer)


async def test_a_session_policy_that_is_too_large_is_tried_wider(partner, config_for):
    """If STS finds the policy too large, the session is limited to the bucket, and never unlimited."""
    large = {"status": 400, "code": "PackedPolicyTooLarge", "message": "Packed policy consumes 120% of space"}
    partner.faults.add(Rule.from_json({"operation": "AssumeRole", "times": 1, "action": {"kind": "error", **large}}))
    more = role(partner) + ", key_prefix: from-a/"
    async with refreshing(config_for(more)) as (refresher, observer):
        session = await refresher.credentials()
    assert assumptions(partner) == [400, 200]
    assert observer.refusals == []
    policy = partner.session_policy(session.access_key_id)
    names = ("partner-inbox/b", "other/b")
    put = [policy.verdict(AccessRequest("s3:PutObject", f"arn:aws:s3:::{name}", {})) for name in names]
    assert put == [Verdict.ALLOW, Verdict.NO_MATCH]
