"""What identifies goes: thousands of made reports, by kind; and texts that would take long if a pattern backtracked."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from made_identifiers import KINDS, planted_reports

from data_prep.deidentify import scrub

NUM_EACH = 300


@pytest.fixture(scope="module")
def outcomes():
    """(kind, report, what came through) of every made report."""
    found = []
    for planted in planted_reports(seed=11, num_each=NUM_EACH):
        scrubbed = scrub(planted.text, planted.known)
        found.append((planted, scrubbed, planted.left_in(scrubbed)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_identifies_is_gone(outcomes, kind):
    mine = [(planted, scrubbed, left) for planted, scrubbed, left in outcomes if planted.kind == kind]
    missed = [(planted.text, scrubbed, left) for planted, scrubbed, left in mine if left]
    print(f"\n{kind}: {1 - len(missed) / len(mine):.1%} of {len(mine)}")
    assert len(mine) == NUM_EACH and not missed, missed[:3]


def test_the_rest_of_the_report_stays(outcomes):
    """Recall that eats the report is worth nothing."""
    kept = ("Lungs are clear.", "Heart size is normal.", "Small right effusion, mild atelectasis at the left base.", "No pneumothorax.",
            "IMPRESSION: No acute disease.", "The cardiomediastinal silhouette is stable.", "INDICATION: Cough.")  # fmt: skip
    lost: Counter[str] = Counter()
    for planted, scrubbed, _ in outcomes:
        lost.update(planted.kind for sentence in kept if sentence in planted.text and sentence not in scrubbed)
    assert not lost


HOSTILE = """
from data_prep.deidentify import scrub
from data_prep.inputs import Identifiers
known = Identifiers(names=("Smith^John", "De La Cruz^Ana"), ids=("1234567",), phrases=("Elm Alley 9",))
pieces = ("a ", "A.", "A ", "Aa ", "1", "1.", "1 ", "1-", "((", "Dr. ", "Dr ", "x@", "a.a", "-", "_ ", "X", "___ ", "Mc", "O'", "/1", "1/1 ",
          "A-", "Patient: ", "van der ", "Smith ", "J. ", "\\n", "www.", "12:", "Mr A ", "de la ", "on 1/1", "St. ", "A, ", "Hospital ", "ref ",
          "1234 ", "compared ", "signed by: a ", "a/", "[**", "https://", "\\t", "é", "\\u5c71", "Smith, ", "12 Oak ", "prior ", "cc:\\n")
for piece in pieces:
    scrub(piece * (100_000 // len(piece)), known)
"""


def test_no_text_takes_long():
    """A hundred kilobytes of each piece within a bound that any backtracking over the length would break by orders of magnitude."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        timeout=400,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
