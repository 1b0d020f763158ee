"""Upload a small file in one request, with the checksums that the store supports."""

from __future__ import annotations

from crosshaul.aws.conditional_writes import Condition
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.verify import UploadResult, receipt_for, token_of
from crosshaul.model import Checksum, Claim, Receipt


class SinglePut:
    """The upload of one file in one request. It may be sent again with another condition."""

    __slots__ = ("_claim", "_context")

    whole: Checksum | None = None
    """The same attribute as ``MultipartUpload.whole``: no checksum is known without reading the file."""

    def __init__(self, claim: Claim, context: UploadContext) -> None:
        self._claim = claim
        self._context = context

    async def send(self, condition: Condition | None) -> Receipt:
        """Read the file and send it. Raises Fault or SourceError."""
        claim, context = self._claim, self._context
        route, fingerprint = context.routes[claim.route], claim.fingerprint
        negotiator, hashed = context.negotiator, await context.bucket.needs_hash()
        if claim.large:
            context.buffers.clear()  # spare buffers are outside the memory budget
        with await context.memory_for(claim).hold(fingerprint.size) as memory:
            while True:
                kinds = negotiator.kinds()
                payload = await context.files.for_route(claim.route).read_file(
                    claim, route, kinds, hashed=hashed, on_stuck=memory.end
                )
                try:
                    with await context.slot(claim):
                        result = await context.bucket.put_object(
                            claim.key, payload, fingerprint.mtime_ns, token_of(claim), condition=condition
                        )
                except Fault as fault:
                    if fault.diagnosis.code == "UnexpectedResponse":
                        negotiator.record_echo(kinds[0], None)  # the next upload carries MD5 as well
                    # The condition is the first suspect: the caller retries without it.
                    if fault.kind is not FaultKind.UNSUPPORTED or condition or not negotiator.record_refusal(kinds[0]):
                        raise
                    context.conditions.restore()
                else:
                    context.on_body_accepted(claim)
                    negotiator.record_echo(kinds[0], result.checksum.kind if result.checksum else None)
                    return receipt_for(fingerprint.size, _with_proof(result, payload.checksums), context.clock.now())

    async def prepare(self) -> None:
        """Do nothing: a single request needs no preparation."""

    async def abandon(self) -> None:
        """Do nothing: a failed request leaves nothing in the bucket."""


def _with_proof(result: UploadResult, sent: tuple[Checksum, ...]) -> UploadResult:
    """Return the result with a checksum: a store that echoes none has still checked the Content-MD5."""
    return result if result.checksum else result._replace(checksum=sent[-1])
