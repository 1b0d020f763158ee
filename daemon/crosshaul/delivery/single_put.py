"""A small file's way into the bucket: one request, with the checksums that the store takes."""

from __future__ import annotations

from crosshaul.aws.conditional_writes import Condition
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.verify import UploadResult, receipt_for, token_of
from crosshaul.model import Checksum, Claim, Receipt


class SinglePut:
    """One file's upload in one request; may be sent again on another condition."""

    __slots__ = ("_claim", "_context")

    whole: Checksum | None = None

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        self._claim = claim
        self._context = context

    async def send(self, condition: Condition | None) -> Receipt:
        """Read and send it. Raises Fault or SourceError."""
        claim, context = self._claim, self._context
        route, fingerprint = context.routes[claim.route], claim.fingerprint
        negotiator, hashed = context.negotiator, await context.bucket.needs_hash()
        if claim.large:
            context.buffers.clear()  # what is spare would come on top
        with await context.memory_for(claim).hold(fingerprint.size) as memory:
            while True:
                kinds = negotiator.kinds()
                payload = await context.files.for_route(claim.route).read_file(
                    claim, route, kinds, hashed=hashed, on_stuck=memory.end
                )
                try:
                    with await context.slot(claim):
                        answer = await context.bucket.put_object(
                            claim.key, payload, fingerprint.mtime_ns, token_of(claim), condition=condition
                        )
                except Fault as fault:
                    if fault.diagnosis.code == "UnexpectedResponse":
                        negotiator.record_echo(kinds[0], None)  # the next is sent with an MD5 beside it
                    # A condition is the first suspect: the caller tries without it.
                    if fault.kind is not FaultKind.UNSUPPORTED or condition or not negotiator.record_refusal(kinds[0]):
                        raise
                    context.conditions.restore()
                else:
                    context.body_taken(claim)
                    negotiator.record_echo(kinds[0], answer.checksum.kind if answer.checksum else None)
                    return receipt_for(fingerprint.size, _with_proof(answer, payload.checksums), context.clock.now())

    async def prepare(self) -> None:
        """There is nothing to do beforehand."""

    async def abandon(self) -> None:
        """Nothing of it is left anywhere."""


def _with_proof(answer: UploadResult, sent: tuple[Checksum, ...]) -> UploadResult:
    """A store that echoes no checksum has still checked the Content-MD5 it was given."""
    return answer if answer.checksum else answer._replace(checksum=sent[-1])
