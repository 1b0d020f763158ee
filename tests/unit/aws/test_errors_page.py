"""docs/ERRORS.md: made from the table and the code, complete, and with something to do wherever somebody has to."""

from __future__ import annotations

import re
from pathlib import Path

import crosshaul
from crosshaul.aws.error_codes import ADVICE, advice_for
from crosshaul.aws.error_map import _CODES
from support.errors_page import MADE_UP, PAGE, page
from support.fault_table import ELSEWHERE, OURS, S3, STS, Outcome

SOURCE = Path(crosshaul.__file__).parent
_MADE_HERE = re.compile(
    r'(?:TransportError|_fail)\("(\w+)"|Diagnosis\(\s*FaultKind\.(?:NETWORK|DESTINATION|CORRUPT), "(\w+)"'
)


def test_the_page_is_what_the_code_says():
    """A change of the table or the advice makes the page again (tests/support/errors_page.py)."""
    assert PAGE.read_text() == page()


def test_every_code_that_is_our_own_is_on_the_page():
    """A code that the daemon makes up for what never was an answer has its line."""
    texts = [
        file.read_text()
        for file in (*SOURCE.glob("aws/**/*.py"), SOURCE / "integrity/verify.py", SOURCE / "delivery/upload.py")
    ]
    made = {code for text in texts for found in _MADE_HERE.findall(text) for code in found if code}
    assert {"ConnectionReset", "ChecksumMismatch", "NoCredentials"} <= made, "the pattern finds them no more"
    known = {*OURS, *STS, *(row.code for row in S3)}
    assert made | {code for _, code, _ in _CODES} <= known, (
        "add it to OURS in tests/support/fault_table.py, make the page again"
    )


def test_every_advice_is_on_the_page():
    """No advice is given for a code that the page doesn't know."""
    assert ADVICE.keys() <= {*OURS, *STS, *ELSEWHERE, *(row.code for row in S3)}


def test_where_somebody_has_to_act_the_page_says_who_and_what():
    """Each code that parks a destination or sets a file aside has advice of its own, where its meaning is known."""
    acted = [row for row in S3 if row.outcome in {Outcome.PARKS, Outcome.SETS_ASIDE} and row.code not in MADE_UP]
    silent = {row.code for row in acted if not advice_for(row.at[0], row.code, row.message, None)}
    assert silent == {"409"}
