"""Run one attempt to deliver one file, and turn its result or exception into a journal outcome."""

from __future__ import annotations

from typing import Protocol

from crosshaul.delivery.ctime_only_change import receipt_stands
from crosshaul.delivery.dispatcher import Dispatcher
from crosshaul.delivery.outcome_mapping import Outcomes
from crosshaul.delivery.upload import diagnosis_of, upload_file
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import (
    Diagnosis,
    Fault,
    FaultKind,
    FileChangedError,
    FileGoneError,
    HeldBackError,
    RouteHangsError,
    SourceError,
    StateDirError,
)
from crosshaul.model import Changed, Claim, Outcome, Release


class AttemptObserver(Protocol):
    """Receives the errors that Crosshaul did not expect. Its method must not block."""

    def on_unexpected_error(self, claim: Claim, error: Exception) -> None:
        """Note that an attempt ended in an exception that is none of Crosshaul's own: a bug."""


class AttemptRunner:
    """Runs the attempts of one destination."""

    def __init__(
        self, context: UploadContext, outcomes: Outcomes, dispatcher: Dispatcher, observer: AttemptObserver
    ) -> None:
        self._context = context
        self._outcomes = outcomes
        self._dispatcher = dispatcher
        self._observer = observer

    def released(self, claim: Claim) -> Release:
        """Return the outcome of a claim that goes back unsent."""
        self._outcomes.inconclusive(claim)
        return Release(self._dispatcher.release_due_at())

    async def run(self, claim: Claim, started: float) -> Outcome:
        """Deliver the claim's file, and return the outcome. Raises StateDirError only.

        ``started``: monotonic seconds.
        """
        try:
            if claim.kept_receipt is not None and await receipt_stands(claim, claim.kept_receipt, self._context):
                return self._outcomes.unchanged(claim, claim.kept_receipt)
            receipt = await upload_file(claim, self._context)
        except (FileChangedError, FileGoneError):
            self._outcomes.inconclusive(claim)
            return Changed()
        except (HeldBackError, RouteHangsError):
            return self.released(claim)
        except SourceError as error:
            return self._outcomes.failed_locally(claim, diagnosis_of(error, claim.path))
        except Fault as fault:
            return self._outcomes.failed_remotely(claim, fault.diagnosis, started)
        except StateDirError:
            raise  # a broken journal concerns all files
        except Exception as error:  # noqa: BLE001 - an unforeseen error in one file must not stop the others
            self._observer.on_unexpected_error(claim, error)
            unexpected = Diagnosis(FaultKind.LOCAL, type(error).__name__, " ".join(str(error).split()))
            return self._outcomes.failed_locally(claim, unexpected)
        return self._outcomes.delivered(claim, receipt)
