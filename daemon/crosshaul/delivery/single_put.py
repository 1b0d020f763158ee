"""A small file's way into the bucket: one request, with the checksums that the store takes."""

from __future__ import annotations

from crosshaul.aws.conditional_writes import Condition
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.verify import UploadResult, receipt_for, token_of
from crosshaul.model import Checksum, Claim, Receipt


class SinglePut:
    """One file's upload in one request; may be sent again on another condition."""

    __slots__ = ("_claim", "_means")

    whole: Checksum | None = None

    def __init__(self, claim: Claim, means: UploadContext) -> None:
        self._claim = claim
        self._means = means

    async def send(self, condition: Condition | None) -> Receipt:
        """Read and send it. Raises Fault or SourceError."""
        claim, means = self._claim, self._means
        route, fingerprint = means.routes[claim.route], claim.fingerprint
        hashed = await means.bucket.needs_hash()
        if claim.large:
            means.buffers.clear()  # what is spare would come on top
        with await means.memory_for(claim).hold(fingerprint.size) as memory:
            while True:
                kinds = means.ladder.kinds()
                payload = await means.files.of(claim.route).whole(
                    claim, route, kinds, hashed=hashed, on_stuck=memory.end
                )
                try:
                    with await means.slot(claim):
                        answer = await means.bucket.put_object(
                            claim.key, payload, fingerprint.mtime_ns, token_of(claim), condition=condition
                        )
                except Fault as fault:
                    if fault.diagnosis.code == "UnexpectedResponse":
                        means.ladder.learn(kinds[0], None)  # the next is sent with an MD5 beside it
                    # A condition is the first suspect: the caller tries without it.
                    if fault.kind is not FaultKind.UNSUPPORTED or condition or not means.ladder.refuse(kinds[0]):
                        raise
                    means.conditions.restore()
                else:
                    means.body_taken(claim)
                    means.ladder.learn(kinds[0], answer.checksum.kind if answer.checksum else None)
                    return receipt_for(fingerprint.size, _with_proof(answer, payload.checksums), means.clock.now())

    async def prepare(self) -> None:
        """There is nothing to do beforehand."""

    async def abandon(self) -> None:
        """Nothing of it is left anywhere."""


def _with_proof(answer: UploadResult, sent: tuple[Checksum, ...]) -> UploadResult:
    """A store that echoes no checksum has still checked the Content-MD5 it was given."""
    return answer if answer.checksum else answer._replace(checksum=sent[-1])
