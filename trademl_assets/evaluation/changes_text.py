"""What changed between two evaluations, in lines and rows of texts: for the command line, the UI and pages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trademl_assets.evaluation.changes import AssetChange, Changes, KeyChange, MetricChange

_KEYS_SHOWN = 3
_PARTITIONS_SHOWN = 6
SAME = "the same"


def change_rows(changes: Mapping[str, Changes]) -> list[dict[str, str]]:
    """Return what changed as rows of short texts, one a model."""
    return [
        {
            "model": model,
            "from": found.before,
            "to": found.after,
            "log_loss": difference(found.metric("log_loss")),
            "verdict": SAME if found.verdicts[0] == found.verdicts[1] else " -> ".join(found.verdicts),
            "configuration": describe_keys(found.configuration, _KEYS_SHOWN) or SAME,
            "data": describe_upstream(found.upstream) or SAME,
            "code": "; ".join(f"{asset} {' -> '.join(pair)}" for asset, pair in found.code.items()) or SAME,
        }
        for model, found in changes.items()
    ]


def metric_rows(found: Changes) -> list[tuple[str, str, str, str, str]]:
    """Return title, values, difference and interval of every metric as texts."""
    return [
        (
            each.title,
            f"{each.before:.4f}",
            f"{each.after:.4f}",
            f"{each.difference:+.4f}",
            "" if each.low is None else f"[{each.low:+.4f}, {each.high:+.4f}]",
        )
        for each in found.metrics
    ]


def describe_changes(found: Changes) -> Iterator[str]:
    """Yield what differs beside the scores, a line each."""
    yield f"scores: {found.pairing}"
    yield f"verdict: {' -> '.join(found.verdicts)}"
    for key in found.configuration:
        yield f"configuration: {key.key}: {as_json(key.before)} -> {as_json(key.after)}"
    for asset in found.upstream:
        yield f"data: {describe_upstream([asset])}"
    for name, pair in found.code.items():
        yield f"code: {name}: {' -> '.join(pair)}"
    if found.is_nothing:
        yield "configuration, data and code are the same"


def log_loss_line(found: Changes) -> str:
    """Say what became of the log-loss, and how many keys and upstream assets differ."""
    causes = [
        f"{count} {what}"
        for count, what in (
            (len(found.configuration), "configured key(s)"),
            (len(found.upstream), "upstream asset(s)"),
            (len(found.code), "version(s) of code"),
        )
        if count
    ]
    change = found.metric("log_loss")
    told = "" if change.low is None else ", clear" if change.is_clear else ", within chance"
    return f"log-loss {difference(change)}{told}; {', '.join(causes) + ' differ' if causes else 'nothing else differs'}"


def difference(change: MetricChange) -> str:
    """Write a difference with its interval."""
    text = f"{change.difference:+.4f}"
    return text if change.low is None else f"{text} [{change.low:+.4f}, {change.high:+.4f}]"


def shown_partitions(keys: Sequence[str]) -> str:
    """Name the first partitions and how many more there are."""
    more = f" and {len(keys) - _PARTITIONS_SHOWN} more" if len(keys) > _PARTITIONS_SHOWN else ""
    return ", ".join(keys[:_PARTITIONS_SHOWN]) + more if keys else "-"


def as_json(value: Any) -> str:
    """Write a configured value; a dash for a key that is not there."""
    return "-" if value is None else json.dumps(value)


def describe_keys(changes: Sequence[KeyChange], shown: int) -> str:
    """Say in a line which keys changed, the first few with their values."""
    said = [f"{each.key} {each.before!r} -> {each.after!r}" for each in changes[:shown]]
    return "; ".join([*said, *([f"and {len(changes) - shown} more"] if len(changes) > shown else [])])


def describe_upstream(changes: Sequence[AssetChange]) -> str:
    """Say in a line of which upstream assets how many partitions changed."""
    return "; ".join(f"{each.asset}: {_counts(each)}" for each in changes)


def _counts(change: AssetChange) -> str:
    found = {"changed": change.changed, "new": change.added, "gone": change.removed}
    return ", ".join(f"{len(keys)} {how} ({_span(keys)})" for how, keys in found.items() if keys)


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
