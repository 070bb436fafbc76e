# ruff: noqa: E501 (tables of phrases)
"""What identifies goes: thousands of made reports, by kind; and texts that would take long if a pattern backtracked."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from made_identifiers import KINDS, planted_reports

from data_prep.inputs import Identifiers
from data_prep.privacy.deidentify import scrub

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


DICTATED = """
Pt. Thompson c/o cough.|Thompson
Images of gthompson and thompsong.|hompson
Delacruz, de la Cruz and Maria-José were told.|Cruz Delacruz José
Wei Ng has an NG tube. Ng came.|Ng_
Mc Donald and MacDonald, MCDONALD's.|Donald
O Brien, OBrien, O'BRIEN's.|Brien
山田太郎さんの胸部。|山田 太郎
Ref no 123456; acc AC 2019 778.|123456 778
Reviewed with Dr's Miller and Chan. Drs. Ahmed and Patel agree.|Miller Chan Ahmed Patel
Conveyed to the ICU nurse, Tammy, at 4pm. Spoke with Jane at 0435.|Tammy 4pm Jane 0435
Results were called to Becky Sharp at x54321 on 3/4 by TK.|Becky Sharp 54321 3/4 TK
Electronically Signed By: KLINE, ROBERT on 01/02/2020 10:10 AM|KLINE ROBERT 01/02 10:10
Signed: J. R. Roe 4.5.20|Roe 5.20
Reported by: dr. a. ahmed|ahmed
D: 01/02/20 T: 01/03/20 JS/kl|01/ JS kl
transferred from Riverside. Outside study from Mt. Sinai.|Riverside Sinai
Her mother Mary Ellen; her son (Mark); daughter-in-law Susan.|Mary Ellen Mark Susan
Call 617.555.1234 or 6175551234.|555
Patientin Erika Mustermann, geb. 12.8.1964, wohnhaft in Köln, Heidestraße 17, 51147 Köln.|Mustermann 1964 Köln Heide 51147
Mme Dupont Jeanne, née le 3/4/1950, 12 rue des Lilas, 75011 Paris, 06 12 34 56 78|Dupont 1950 Lilas Paris 75011 34
Sr. Juan Pérez, DNI 12345678Z, nacido el 3 de mayo de 1950, C/ Mayor 3, 28013 Madrid|Pérez 12345678 mayo Mayor Madrid
Sig.ra Rossi Maria nata il 3/5/1950, CF RSSMRA50E43F205X|Rossi 1950 RSSMRA
Dhr. J. de Vries, geb. 03-05-1950, BSN 123456782, Kerkstraat 12, 1017 GC Amsterdam|Vries 1950 123456782 Kerk 1017 Amsterdam
Reading MD: P. Kumar. Read By - Carl Sagan|Kumar Sagan
IMPRESSION: Stable. JONATHAN Q PUBLIC MD|JONATHAN PUBLIC
admitted 12/3 and discharged 12/9|12/3 12/9
Bed 12, Rm 214, ward 7B, Zimmer 31|12 214 7B 31
"""


@pytest.mark.parametrize("line", DICTATED.strip().split("\n"))
def test_as_it_is_dictated(line):
    """Lines that were written down without a look at the patterns."""
    text, _, secrets = line.partition("|")
    scrubbed = scrub(text, DICTATION)
    assert not [secret for secret in secrets.split() if secret.replace("_", " ") in f"{scrubbed} "]


DICTATION = Identifiers(
    names=("Thompson^Grace^L", "De La Cruz^María José", "Ng^Wei", "McDonald^Sean", "O'Brien^Pat", "山田^太郎=ヤマダ^タロウ"),
    ids=("00123456", "AC-2019-778"),
)

HOSTILE = """
from data_prep.privacy.deidentify import scrub
from data_prep.inputs import Identifiers
known = Identifiers(names=("Smith^John", "De La Cruz^Ana"), ids=("1234567",), phrases=("Elm Alley 9",))
pieces = ("a ", "A.", "A ", "Aa ", "1", "1.", "1 ", "1-", "((", "Dr. ", "Dr ", "x@", "a.a", "-", "_ ", "X", "___ ", "Mc", "O'", "/1", "1/1 ",
          "A-", "Patient: ", "van der ", "Smith ", "J. ", "\\n", "www.", "12:", "Mr A ", "de la ", "on 1/1", "St. ", "A, ", "Hospital ", "ref ",
          "1234 ", "compared ", "signed by: a ", "a/", "[**", "https://", "\\t", "é", "\\u5c71", "Smith, ", "12 Oak ", "prior ", "cc:\\n")
for piece in pieces:
    scrub(piece * (10_000 // len(piece)), known)
for piece in ("a ", "A.", "1", "((", "a.a", "J. ", "Mr A ", "1-"):
    scrub(piece * (100_000 // len(piece)), known)
"""


def test_no_text_takes_long():
    """Up to a hundred kilobytes of a piece within a bound that any backtracking over the length would break by orders of magnitude."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        timeout=300,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
