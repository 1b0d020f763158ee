"""docs/ERRORS.md is generated from the table and the code, is complete, and has advice wherever a person has to act."""

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
    """The page matches the table and the advice; tests/support/errors_page.py generates it."""
    assert PAGE.read_text() == page()


def test_every_code_that_is_our_own_is_on_the_page():
    """Each of the daemon's own codes, for calls without a valid response, is on the page."""
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
    """Each code with advice is on the page."""
    assert ADVICE.keys() <= {*OURS, *STS, *ELSEWHERE, *(row.code for row in S3)}


def test_where_somebody_has_to_act_the_page_says_who_and_what():
    """Each known code that parks a destination or quarantines a file has advice."""
    acted = [row for row in S3 if row.outcome in {Outcome.PARKS, Outcome.SETS_ASIDE} and row.code not in MADE_UP]
    silent = {row.code for row in acted if not advice_for(row.at[0], row.code, row.message, None)}
    assert silent == {"409"}
