"""Negotiate with a store which checksum its uploads carry."""

from __future__ import annotations

from crosshaul.model import ChecksumKind

_PREFERENCE = (ChecksumKind.CRC64NVME, ChecksumKind.CRC32, ChecksumKind.MD5)


class ChecksumNegotiator:
    """Choose the best checksum that the store honours: the next one follows when a store ignores or refuses one.

    Until a store has echoed the preferred checksum, each upload carries Content-MD5 as well, which every store checks.
    The first uploads are the probe, so negotiation costs no extra request.
    """

    def __init__(self, confirmed: ChecksumKind | None = None) -> None:
        self._index = _PREFERENCE.index(confirmed) if confirmed else 0
        self._is_confirmed = confirmed is not None

    @property
    def preferred(self) -> ChecksumKind:
        """The checksum to use, or to try, now."""
        return _PREFERENCE[self._index]

    @property
    def confirmed(self) -> ChecksumKind | None:
        """The checksum that the store has been seen to honour; None until then."""
        return self.preferred if self._is_confirmed else None

    def kinds(self) -> tuple[ChecksumKind, ...]:
        """Return the checksums to compute for the next upload."""
        if self._is_confirmed or self.preferred is ChecksumKind.MD5:
            return (self.preferred,)
        return (self.preferred, ChecksumKind.MD5)

    def record_echo(self, sent: ChecksumKind, echoed: ChecksumKind | None) -> bool:
        """Record the checksum in the store's response; return True if this confirms the preferred checksum.

        A store that no longer echoes a confirmed checksum may be another store behind the same name: the checksum has
        to be confirmed again.
        """
        if sent is not self.preferred or self._is_last():
            return False
        was_confirmed, self._is_confirmed = self._is_confirmed, echoed is sent
        if not was_confirmed and not self._is_confirmed:
            self._try_next()
        return self._is_confirmed and not was_confirmed

    def record_refusal(self, sent: ChecksumKind) -> bool:
        """Record that the store refused a checksum; return True if there is another one to try.

        The first refusal of a confirmed checksum says more about the file than about the store: the checksum only has
        to be confirmed again.
        """
        if sent is not self.preferred:
            return True
        if self._is_confirmed:
            self._is_confirmed = self._is_last()
            return False
        self._try_next()
        return True

    def _is_last(self) -> bool:
        return self._index == len(_PREFERENCE) - 1

    def _try_next(self) -> None:
        self._index += 1
        self._is_confirmed = self._is_last()
