"""What an audit found: a rule a row, whether it holds, what was seen; and the few forms that findings take."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Result = Literal["holds", "violated", "not audited"]
Row = dict[str, str]
LONGEST_DETAIL = 120


@dataclass(frozen=True)
class Finding:
    """One rule and what the audit saw of it; a rule that could not be audited is not violated, and says why."""

    rule: str
    result: Result
    detail: str

    @classmethod
    def of(cls, rule: str, *, holds: bool, detail: str) -> "Finding":
        """The finding of a rule that was audited."""
        return cls(rule, "holds" if holds else "violated", detail)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the rule."""
        return self.result != "violated"


@dataclass(frozen=True)
class LeakageReport:
    """All rules of an audit."""

    findings: tuple[Finding, ...]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "LeakageReport":
        """The report that `as_rows` gave."""
        return cls(tuple(Finding(row["rule"], row["result"], row["detail"]) for row in rows))

    @property
    def passed(self) -> bool:
        """Whether no rule is violated."""
        return all(finding.passed for finding in self.findings)

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The rules that do not hold."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def as_rows(self) -> list[Row]:
        """One JSON-able row a rule, for a readable table."""
        return [{"rule": f.rule, "result": f.result, "detail": f.detail} for f in self.findings]


def counted(rule: str, wrong: NDArray[np.bool_], index: pl.DataFrame) -> Finding:
    """A rule about every sample: how many break it, (n,) in the index's order, and the first that does."""
    count = int(wrong.sum())
    if not count:
        return Finding.of(rule, holds=True, detail=f"{index.height} samples")
    worst = index.row(int(np.flatnonzero(wrong)[0]), named=True)
    first = f"{worst['t0'].isoformat()} ({worst['part']})"
    return Finding.of(rule, holds=False, detail=f"{count} of {index.height} samples; first: {first}")


def equal(rule: str, stated: Any, expected: Any) -> Finding:
    """A rule about JSON values that must be the same."""
    if json.dumps(stated) == json.dumps(expected):
        return Finding.of(rule, holds=True, detail="equal")
    return Finding.of(rule, holds=False, detail=f"found {_short(stated)}, expected {_short(expected)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"
