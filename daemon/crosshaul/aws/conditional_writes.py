"""Conditional writes (If-None-Match, If-Match), and the support of a store for them. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Condition(NamedTuple):
    """Condition of a write: the key has no object, or still the object with this ETag."""

    etag: str | None = None
    """If None, the key must have no object."""

    def header(self) -> tuple[str, str]:
        """Return the condition as an HTTP header."""
        return ("if-none-match", "*") if self.etag is None else ("if-match", f'"{self.etag}"')

    def parameter(self) -> dict[str, str]:
        """Return the condition by botocore's parameter name."""
        return {"IfNoneMatch": "*"} if self.etag is None else {"IfMatch": f'"{self.etag}"'}


NEW = Condition()
NEVER_TRUE = Condition("0" * 32)
"""No object has this ETag."""


class Conditions:
    """Observed support of one store for conditional writes. AWS honours both; others refuse or ignore them."""

    def __init__(self, *, honoured: bool | None = None) -> None:
        self.new_honoured = honoured
        """If-None-Match on PutObject prevents a write; None: not observed yet."""
        self.complete_honoured = honoured
        """If-None-Match on CompleteMultipartUpload prevents a write; Ceph 16 honours only PutObject's."""
        self.match_honoured: bool | None = honoured or None
        """If-Match on PutObject prevents a write; some stores honour only If-None-Match."""
        self._refused: set[bool] = set()
        self.taken_away = False
        """The last object with a receipt was missing: partners may delete objects that they have read."""
        self.proving = False
        """A file's upload is testing the support right now."""

    def usable(self, condition: Condition | None) -> Condition | None:
        """Return ``condition``, or None if the store refuses its kind."""
        return None if condition is None or (condition.etag is None) in self._refused else condition

    def refuse(self, condition: Condition) -> None:
        """Note that the store refuses this kind of condition, or refuses it from this role."""
        self._refused.add(condition.etag is None)

    def restore(self) -> None:
        """Forget refusals: something else in the request was refused."""
        self._refused.clear()

    def seen(self, operation: str) -> None:
        """Note that If-None-Match prevented a write."""
        if operation == "CompleteMultipartUpload":
            self.complete_honoured = True
        else:
            self.new_honoured = True

    @property
    def holds_older_off(self) -> bool:
        """If-Match is known to prevent a write that started before the object was replaced."""
        return bool(self.match_honoured) and False not in self._refused

    def holds(self, *, in_parts: bool) -> bool:
        """Return whether If-None-Match is known to prevent this kind of write."""
        if True in self._refused:
            return False
        return bool(self.complete_honoured if in_parts else self.new_honoured)
