"""Write docs/ERRORS.md from the fault table of the tests and the error codes of the daemon.

``PYTHONPATH=daemon:tests python tests/support/errors_page.py`` writes the page;
tests/unit/aws/test_errors_page.py fails when it is out of date.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crosshaul.aws.error_codes import ADVICE, advice_for, kind_of
from support.fault_table import HEAD, ONLY_AT_GET, OURS, S3, SENDING, STS, Outcome, Row

PAGE = Path(__file__).parents[2] / "docs" / "ERRORS.md"
MADE_UP = {"SomethingNew", "SomethingElseNew"}
"""Codes of the table that stand for unknown codes."""
_TRANSIENT = "Nothing: the error is transient."
_ASK = "Send Account B's admin the request id."
_TITLES = {
    Outcome.AGAIN: "Retried",
    Outcome.REFRESHES: "Retried with new credentials",
    Outcome.STARTS_OVER: "Restarts the upload",
    Outcome.DOES_WITHOUT: "Omits an unsupported feature",
    Outcome.PARKS: "Parks the destination",
    Outcome.SETS_ASIDE: "Quarantines the file",
}
_SHORT = {
    None: "unknown: the file is sent",
    Outcome.AGAIN: "retried",
    Outcome.REFRESHES: "retried with new credentials",
    Outcome.PARKS: "parks the destination",
}
_FOR_OPERATORS = {
    Outcome.PARKS: "One file at a time is tried as a canary, so delivery resumes as soon as the error is fixed.",
    Outcome.SETS_ASIDE: "`crosshaul retry` puts it back in the queue.",
}
"""Outcomes that require an operator."""
_HEAD = """# Errors

Every known error of S3 and STS for each call that Crosshaul makes, and its outcome. The log, `crosshaul status` (for a
destination) and `crosshaul explain` (for a file) show the code, the HTTP status and the request id. No error loses a
file.

`tests/support/errors_page.py` writes this page from the table that `tests/lies` plays against the strict partner
account and from `aws/error_codes.py`. A code without a row fails a test.

- **Uploads** are PutObject, CreateMultipartUpload, UploadPart and CompleteMultipartUpload.
- **AbortMultipartUpload** removes the upload of a file that changed during it. Its errors have no effect: the bucket's
  lifecycle rule removes the upload later.
- **GetObject** is for `check`, the demo and `--require-ready`. Its errors are reported and concern no file.
- **(none)** is a response without a code, as proxies send them; Crosshaul shows the status instead.
- The HTTP status decides for an unknown code: 5xx, 408, 429 and an unexpected 2xx are retried, all others park the
  destination.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, *(_section(outcome) for outcome in Outcome), _head_section(), _get_section(), _sts(), _ours()]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _section(outcome: Outcome) -> str:
    rows = [row for row in S3 if row.outcome is outcome and row.code not in MADE_UP]
    head: tuple[str, ...] = ("code", "HTTP", "call", "class")
    cells: list[tuple[str, ...]] = [(_named(row), str(row.status), _calls(row), _class(row)) for row in rows]
    if outcome in _FOR_OPERATORS:
        head = (*head, "what to do")
        cells = [(*cell, _advice(row)) for cell, row in zip(cells, rows, strict=True)]
    more = _FOR_OPERATORS.get(outcome, "No action is needed.")
    return f"## {_TITLES[outcome]}\n\n{outcome.value} {more}\n\n{_table(head, cells)}"


def _named(row: Row) -> str:
    about_checksum = row.outcome is Outcome.DOES_WITHOUT and row.code.startswith("Invalid")
    return _code(row.code, row.status) + (" about a checksum" if about_checksum else "")


def _code(code: str, status: int) -> str:
    return "(none)" if code == str(status) else f"`{code}`"


def _calls(row: Row) -> str:
    return "uploads" if row.at == SENDING else ", ".join(row.at)


def _class(row: Row) -> str:
    return kind_of(row.at[0], row.code, row.status, row.message).value


def _advice(row: Row) -> str:
    return advice_for(row.at[0], row.code, row.message, None) or _ASK


def _head_section() -> str:
    cells = ((str(status), _SHORT[outcome]) for status, outcome in sorted(HEAD.items()))
    intro = "HeadObject checks whether an object is already in the bucket. Its responses have a status and no code."
    return f"## HeadObject\n\n{intro}\n\n{_table(('HTTP', 'outcome'), cells)}"


def _get_section() -> str:
    cells = ((f"`{code}`", str(status)) for code, status in ONLY_AT_GET)
    return f"## GetObject only\n\n{_table(('code', 'HTTP'), cells)}"


def _sts() -> str:
    cells = (
        (_code(code, status), str(status), advice_for("AssumeRole", code, "", None) or _TRANSIENT)
        for code, status in STS.items()
    )
    intro = (
        "AssumeRole is called in the background before each expiry. While it fails, the current session is used until\n"
        "it expires; then the destination is parked until AssumeRole succeeds. No file is quarantined."
    )
    return f"## STS\n\n{intro}\n\n{_table(('code', 'HTTP', 'what to do'), cells)}"


def _ours() -> str:
    cells = (
        (f"`{code}`", meaning, _SHORT[outcome], ADVICE.get(code) or _advice_of_ours(outcome))
        for code, (outcome, meaning) in OURS.items()
    )
    table = _table(("code", "means", "outcome", "what to do"), cells)
    return f"## Crosshaul's own codes\n\nThese errors occur without a valid response from S3 or STS.\n\n{table}"


def _advice_of_ours(outcome: Outcome) -> str:
    return _TRANSIENT if outcome is Outcome.AGAIN else "See the message."


if __name__ == "__main__":
    PAGE.write_text(page())
