"""Conditional writes: what has to be true of a key for a write to take effect, and what a store makes of that. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Condition(NamedTuple):
    """What a write demands of its key: that no object has it, or that the one with this ETag has it still."""

    etag: str | None = None
    """None: no object may have the key."""

    def header(self) -> tuple[str, str]:
        """As an HTTP header."""
        return ("if-none-match", "*") if self.etag is None else ("if-match", f'"{self.etag}"')

    def parameter(self) -> dict[str, str]:
        """By botocore's parameter name."""
        return {"IfNoneMatch": "*"} if self.etag is None else {"IfMatch": f'"{self.etag}"'}


NEW = Condition()
NEVER_TRUE = Condition("0" * 32)
"""No object has this ETag."""


class Conditions:
    """What one store was seen to make of conditional writes. AWS keeps both; others refuse or ignore them."""

    def __init__(self, *, honoured: bool | None = None) -> None:
        self.new_honoured = honoured
        """Whether If-None-Match on PutObject holds writers off; None until it was seen."""
        self.complete_honoured = honoured
        """The same of CompleteMultipartUpload: Ceph 16 honours the one and ignores the other."""
        self.match_honoured: bool | None = honoured or None
        """The same of If-Match on PutObject: some stores keep If-None-Match alone."""
        self._refused: set[bool] = set()
        self.taken_away = False
        """Whether the object of which we have a receipt was gone, the last time: partners may take what they read."""
        self.proving = False
        """Whether a file is just being used to find it out."""

    def usable(self, condition: Condition | None) -> Condition | None:
        """``condition``, unless the store was seen to refuse its kind."""
        return None if condition is None or (condition.etag is None) in self._refused else condition

    def refuse(self, condition: Condition) -> None:
        """Note that the store does not take this kind of condition, or not from this role."""
        self._refused.add(condition.etag is None)

    def restore(self) -> None:
        """Try them again: what was refused turned out to be something else in the same request."""
        self._refused.clear()

    def seen(self, operation: str) -> None:
        """Note that a write was held off by If-None-Match."""
        if operation == "CompleteMultipartUpload":
            self.complete_honoured = True
        else:
            self.new_honoured = True

    @property
    def holds_older_off(self) -> bool:
        """Whether If-Match is known to hold off a write that was begun before the object was replaced."""
        return bool(self.match_honoured) and False not in self._refused

    def holds(self, *, in_parts: bool) -> bool:
        """Whether If-None-Match is known to hold off this kind of write."""
        if True in self._refused:
            return False
        return bool(self.complete_honoured if in_parts else self.new_honoured)
