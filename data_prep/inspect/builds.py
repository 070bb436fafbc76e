"""What became of the inputs: `build.json` and the ledger of an institution, as counts.

A ledger line holds the hash of an input; here it is counted and forgotten. Words that are none of our fixed lists are
counted as "other": whatever stands in such a place must not get onto a page.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrpt.data.sample import SPLITS
from data_prep.ledger import BUILD, FAILURES, LEDGER, TYPES, Note, Reason

OUTCOMES = ("kept", "excluded", "failed")
_REASONS = frozenset(reason.value for reason in Reason)
_NOTES = frozenset(note.value for note in Note)


@dataclass(frozen=True)
class BuildFacts:
    """One institution's build; counts are of ledger lines."""

    institution: str
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(type, outcome) -> lines."""
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(outcome, reason, type) -> lines."""
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(note, type) -> lines."""
    patients: dict[str, int] = field(default_factory=dict)
    """By split."""
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def count(self, outcome: str) -> int:
        return sum(number for (_, one), number in self.outcomes.items() if one == outcome)

    @property
    def found(self) -> int:
        return self.outcomes.total()


def read_build(folder: Path, advance: Callable[[], None] = lambda: None) -> BuildFacts:
    """Count what `<folder>/build.json` and `<folder>/ledger.jsonl` say; what they lack is a problem, not an error."""
    facts = BuildFacts(folder.name)
    problems = []
    build: dict[str, Any] = {}
    try:
        build = json.loads((folder / BUILD).read_text())
        patients = {split: int(build["splits"][split]["patients"]) for split in SPLITS if split in build["splits"]}
        remarks = tuple(str(remark) for remark in build.get("remarks", ()))
    except FileNotFoundError:
        problems.append(f"no {BUILD}: the build is unfinished, or only its shards were copied")
        patients, remarks = {}, ()
    except (ValueError, KeyError, TypeError, AttributeError):
        problems.append(f"{BUILD} cannot be read")
        patients, remarks = {}, ()
    try:
        broken = _count_ledger(folder / LEDGER, facts, advance)
        if broken:
            problems.append(f"{broken} lines of {LEDGER} cannot be read")
        if build and build.get("found") != facts.found + broken:
            problems.append(f"{BUILD} and {LEDGER} disagree on how many inputs were found")
    except FileNotFoundError:
        problems.append(f"no {LEDGER}")
    return BuildFacts(facts.institution, facts.outcomes, facts.reasons, facts.notes, patients, remarks, tuple(problems))


def _count_ledger(path: Path, facts: BuildFacts, advance: Callable[[], None]) -> int:
    """Add a ledger to the counters; returns how many lines cannot be read."""
    broken = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            if number % 10_000 == 0:
                advance()
            try:
                fields = json.loads(line)
                kind = fields["type"] if fields["type"] in TYPES else "other"
                outcome = fields["outcome"] if fields["outcome"] in OUTCOMES else "other"
                facts.outcomes[kind, outcome] += 1
                if fields["reason"] is not None:
                    reason = fields["reason"] if fields["reason"] in _REASONS else "other"
                    facts.reasons["failed" if reason in FAILURES else outcome, reason, kind] += 1
                for note in fields.get("notes", ()):
                    facts.notes[note if note in _NOTES else "other", kind] += 1
            except (ValueError, KeyError, TypeError):
                broken += 1
    return broken
