"""Write docs/TROUBLESHOOTING.md from the output of `crosshaul check` for each wrong set-up."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from test_check import PAGE, WRONG, found_wrong, row  # noqa: E402 - the path comes first

from support.partner_fixtures import partner_process  # noqa: E402
from support.system_fixtures import made_for  # noqa: E402

HEAD = """# Troubleshooting

`crosshaul check -c FILE` checks the chain from Account A's credentials to bytes in Account B's
bucket. For the first step that fails it gives the cause, the party that has to act, and what to do;
`--json` is for programs. Each row is the output for a set-up with one error, tested against a strict
simulated account (`tests/trust`). STS and S3 return the same "AccessDenied" for several errors; where
they cannot be distinguished, the row names all possible causes.

| what is wrong | step that fails | cause | who | what to do |
|---|---|---|---|---|
"""


def main() -> None:
    """Run each check, and write the page."""
    rows = []
    for wrong in WRONG:
        with tempfile.TemporaryDirectory() as home, partner_process(spool=Path(home) / "spool") as strict:
            rows.append(row(wrong, found_wrong(wrong, strict, made_for(strict, Path(home) / "site"))))
            print(rows[-1], flush=True)
    PAGE.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
