"""Makes docs/ERRORS.md out of the table that the tests play and the meanings that the daemon goes by.

``PYTHONPATH=daemon:tests python tests/support/errors_page.py`` writes it;
tests/unit/aws/test_errors_page.py holds it up to date.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crosshaul.aws.error_codes import ADVICE, advice_for, kind_of
from support.fault_table import HEAD, ONLY_AT_GET, OURS, S3, SENDING, STS, Outcome, Row

PAGE = Path(__file__).parents[2] / "docs" / "ERRORS.md"
MADE_UP = {"SomethingNew", "SomethingElseNew"}
"""Codes of the table that stand for those which nobody knows yet."""
_PASSES = "Nothing: it passes."
_ASK = "Ask Account B's admin, with the request id."
_TITLES = {
    Outcome.AGAIN: "What is tried again",
    Outcome.REFRESHES: "What leads to new credentials",
    Outcome.STARTS_OVER: "What starts an upload over",
    Outcome.DOES_WITHOUT: "What is done without",
    Outcome.PARKS: "What parks the destination",
    Outcome.SETS_ASIDE: "What sets a file aside",
}
_SHORT = {
    None: '"don\'t know": the file is sent',
    Outcome.AGAIN: "tried again",
    Outcome.REFRESHES: "new credentials, then again",
    Outcome.PARKS: "parks the destination",
}
_FOR_PEOPLE = {
    Outcome.PARKS: "One file at a time is tried, so that nobody has to tell Crosshaul when it is mended.",
    Outcome.SETS_ASIDE: "`crosshaul retry` puts it back in the queue.",
}
"""The outcomes that somebody has to do something about."""
_HEAD = """# Errors

Every error that S3 and STS are known to answer with, at each call that Crosshaul makes, and what comes of it. The code,
the HTTP status and the request id stand in the log, in `crosshaul status` (of a destination) and in `crosshaul explain`
(of a file). No error loses a file.

This page is made from the table that `tests/lies` plays against the strict partner account, and from `aws/codes.py`
(`tests/support/errors_page.py`); a code without a row fails a test.

- **Uploads** are PutObject, CreateMultipartUpload, UploadPart and CompleteMultipartUpload.
- **AbortMultipartUpload** clears up after a file that changed in mid-upload. If it fails, in whatever way, nothing
  comes of it: the bucket's lifecycle rule clears up.
- **GetObject** is for `check`, the demo and `--require-ready`. An error there is told, and concerns no file.
- **(none)** is an answer without a code, as proxies give them; Crosshaul shows the status in the code's place.
- A code that is not here goes by its status: 5xx, 408, 429 and a 2xx that makes no sense are tried again, all others
  park the destination.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *(_section(outcome) for outcome in Outcome), _head_section(), _get_section(), _sts(), _ours()]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _section(outcome: Outcome) -> str:
    rows = [row for row in S3 if row.outcome is outcome and row.code not in MADE_UP]
    head: tuple[str, ...] = ("code", "HTTP", "at", "class")
    cells: list[tuple[str, ...]] = [(_named(row), str(row.status), _calls(row), _class(row)) for row in rows]
    if outcome in _FOR_PEOPLE:
        head = (*head, "what to do")
        cells = [(*cell, _advice(row)) for cell, row in zip(cells, rows, strict=True)]
    more = _FOR_PEOPLE.get(outcome, "Nobody has to do anything.")
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
    intro = "HeadObject asks whether a file is in the bucket already. Its answers have a status alone."
    return f"## At HeadObject\n\n{intro}\n\n{_table(('HTTP', 'outcome'), cells)}"


def _get_section() -> str:
    cells = ((f"`{code}`", str(status)) for code, status in ONLY_AT_GET)
    return f"## At GetObject alone\n\n{_table(('code', 'HTTP'), cells)}"


def _sts() -> str:
    cells = (
        (_code(code, status), str(status), advice_for("AssumeRole", code, "", None) or _PASSES)
        for code, status in STS.items()
    )
    intro = (
        "AssumeRole is called in the background, ahead of each expiry. While it fails, the present session is used to\n"
        "its end; then the destination is parked, and everything goes on when STS does. No file is blamed."
    )
    return f"## From STS\n\n{intro}\n\n{_table(('code', 'HTTP', 'what to do'), cells)}"


def _ours() -> str:
    cells = (
        (f"`{code}`", meaning, _SHORT[outcome], ADVICE.get(code) or _advice_of_ours(outcome))
        for code, (outcome, meaning) in OURS.items()
    )
    table = _table(("code", "means", "outcome", "what to do"), cells)
    return f"## Without an answer of S3's or STS's\n\nThese codes are Crosshaul's own.\n\n{table}"


def _advice_of_ours(outcome: Outcome) -> str:
    return _PASSES if outcome is Outcome.AGAIN else "The message says it."


if __name__ == "__main__":
    PAGE.write_text(page())
