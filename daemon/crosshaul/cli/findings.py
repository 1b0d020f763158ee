"""Prints the findings of a check: a line for each, and details and advice below a failure."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from crosshaul.display import printable
from crosshaul.errors import Diagnosis
from crosshaul.trust.findings import Advice, Finding, Outcome

_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.WARN: "yellow", Outcome.SKIPPED: "dim"}
_STEP_COLUMNS = 16


class FindingPrinter:
    """Prints findings as they come."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._destination = ""

    def show(self, destination: str, finding: Finding) -> None:
        """Print a finding."""
        if destination != self._destination:
            self._destination = destination
            self._console.print(Text(f"{printable(destination)}", style="bold"))
        mark = Text(f"  {finding.outcome:<8}", style=_STYLES[finding.outcome])
        self._console.print(
            mark.append(f"{finding.step:<{_STEP_COLUMNS}}", style="").append(printable(finding.message), style="")
        )
        if finding.outcome is Outcome.FAIL:
            self._explain(finding.error, finding.advice)

    def _explain(self, error: Diagnosis | None, advice: Advice | None) -> None:
        lines = []
        if error is not None:
            lines += [
                f"Error Message:    {error.message}",
                f"HTTP Status Code: {error.status}"
                if error.status
                else "No response: the client could not reach the service.",
                f"AWS Error Code:   {error.code}",
                f"Error Type:       {error.kind} ({error.operation})",
                f"Request ID:       {error.request_id or '-'}",
            ]
        if advice is not None:
            lines += [f"Cause:            {advice.cause} ({advice.party})", f"What to do:       {advice.action}"]
            lines += [f"Ruled out:        {', '.join(advice.ruled_out)}"] if advice.ruled_out else []
            lines += ["To send to your partner:", f"  {advice.partner_message}"] if advice.partner_message else []
        for line in lines:
            self._console.print(f"          {printable(line)}")
