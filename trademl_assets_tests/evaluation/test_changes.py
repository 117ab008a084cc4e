"""Evaluations that are kept, and what changed between two of them."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.evaluation.changes import compare_versions
from trademl_assets.evaluation.changes_text import change_rows, describe_changes, log_loss_line, metric_rows
from trademl_assets.evaluation.versions import (
    CHAIN_SCHEMA,
    VERSIONS_ASSET,
    EvaluationVersion,
    find_versions,
    flatten,
    judged_decisions,
    keep_version,
    read_version,
    upstream_chain,
    version_numbers,
)
from trademl_assets.foundation.errors import ConfigError, MissingPartitionError
from trademl_assets.scoring import metrics
from trademl_assets.scoring.predictions import class_columns
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Manifest, Provenance
from trademl_assets_tests.evaluation.examples import EDGES_BPS, make_example
from trademl_assets_tests.evaluation.test_leaderboard import PARAMETERS, judged

KEY = "demo|one"
RESAMPLING = PARAMETERS.resampling
CHAIN = (("grid", "2024-01-01", "aa", "1"), ("grid", "2024-01-02", "bb", "1"), ("dataset", "demo", "cc", "4"))


@cache
def version(known: float = 0.8, key: str = KEY) -> EvaluationVersion:
    example = make_example(known=known)
    table = example.calibrated(PARAMETERS).table
    return EvaluationVersion(
        key=key,
        number=1,
        judgement=judged(known)[0],
        decisions=judged_decisions(table, example.index.with_columns(instrument=pl.lit("X"))),
        boundaries_bps=tuple(EDGES_BPS),
        horizon_seconds=1800,
        configuration={"training.max_epochs": 8, "model.width": 4},
        chain=pl.DataFrame(CHAIN, schema=CHAIN_SCHEMA, orient="row"),
    )


def evaluated(store: ArtifactStore, run: str, accuracy: float, upstream: dict[str, str] | None = None) -> Manifest:
    """Commit an evaluation whose content is one number."""
    provenance = Provenance("4", "fingerprint", upstream or {}, run)
    with store.write("model_evaluation", KEY, schema_version=1, provenance=provenance) as writer:
        writer.json("judgement", {"accuracy": accuracy})
    return store.require("model_evaluation", KEY)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.at(tmp_path)


def test_every_evaluation_is_kept_once_under_a_number_and_comes_back_as_it_was(store: ArtifactStore):
    first = evaluated(store, "run-1", 0.5)
    assert [keep_version(store, first, version(), 3) for _ in range(2)] == [1, 1]
    same_again = evaluated(store, "run-2", 0.5)
    assert keep_version(store, same_again, version(), 3) == 1
    second = evaluated(store, "run-3", 0.6)
    assert keep_version(store, second, version(0.1), 3) == 2
    assert version_numbers(store, KEY) == (1, 2)
    found = read_version(store, KEY, 2)
    assert found.name == "demo/one@2"
    assert found.judgement == version(0.1).judgement
    assert found.decisions.equals(version(0.1).decisions)
    assert found.chain.equals(version().chain)
    assert (found.boundaries_bps, found.horizon_seconds) == (tuple(EDGES_BPS), 1800)
    assert found.configuration == version().configuration


def test_another_configuration_alone_is_a_version_and_the_oldest_are_removed(store: ArtifactStore):
    for number in range(1, 5):
        changed = replace(version(), configuration={"training.max_epochs": number})
        assert keep_version(store, evaluated(store, f"run-{number}", 0.5), changed, 2) == number
    assert version_numbers(store, KEY) == (3, 4)
    assert len(store.partitions(VERSIONS_ASSET)) == 2


def test_texts_name_versions(store: ArtifactStore):
    with pytest.raises(MissingPartitionError, match="demo/one: no evaluation is kept"):
        find_versions(store, "demo/one", None)
    keep_version(store, evaluated(store, "run-1", 0.5), version(), 9)
    with pytest.raises(MissingPartitionError, match="demo/one@1 is the first evaluation"):
        find_versions(store, "demo/one", None)
    keep_version(store, evaluated(store, "run-2", 0.6), version(), 9)
    for texts in (("demo/one", None), ("demo|one@1", "demo/one@2"), ("demo/one@2", None)):
        assert [each.number for each in find_versions(store, *texts)] == [1, 2]
    with pytest.raises(MissingPartitionError, match=r"no version 7, kept are \[1, 2\]"):
        find_versions(store, "demo/one@7", "demo/one")
    for wrong in ("demo", "demo/one@", "demo/one@x", "/one"):
        with pytest.raises(ConfigError, match="names no evaluation"):
            find_versions(store, wrong, None)


def test_a_chain_names_everything_below_as_it_was_read(store: ArtifactStore):
    def commit(asset: str, key: str, text: str, *upstream: str, code: str = "1") -> None:
        hashes = {place: store.require(*place.split("/", 1)).content_hash for place in upstream}
        with store.write(asset, key, schema_version=1, provenance=Provenance(code, "", hashes)) as writer:
            writer.text("data", text)

    commit("raw", "a", "one")
    commit("book", "a", "one", "raw/a")
    commit("grid", "a", "one", "book/a", code="7")
    read = store.require("book", "a").content_hash
    commit("book", "a", "two", "raw/a")
    chain = upstream_chain(store, store.require("grid", "a"))
    assert chain.schema == pl.Schema(CHAIN_SCHEMA)
    assert chain.rows() == [("book", "a", read, None), ("grid", "a", "", "7")]
    commit("grid", "a", "two", "book/a", code="7")
    assert upstream_chain(store, store.require("grid", "a"))["asset"].to_list() == ["book", "grid", "raw"]


def test_an_evaluation_does_not_differ_from_itself():
    found = compare_versions(version(), version(), RESAMPLING)
    assert found.is_nothing
    assert all((each.difference, each.low or 0.0, each.high or 0.0) == (0, 0, 0) for each in found.metrics)
    assert list(describe_changes(found))[-1] == "configuration, data and code are the same"
    assert log_loss_line(found) == "log-loss +0.0000 [+0.0000, +0.0000], within chance; nothing else differs"


def test_a_difference_is_that_of_the_scores_and_its_interval_leaves_out_what_the_market_did():
    weak, good = version(0.1), version(0.8)
    found = compare_versions(weak, good, RESAMPLING)
    loss = found.metric("log_loss")
    expected = [
        metrics.log_losses(class_columns(each.decisions, "after"), each.decisions["label"].to_numpy()).mean()
        for each in (weak, good)
    ]
    assert (loss.before, loss.after) == pytest.approx(expected)
    assert loss.difference == pytest.approx(expected[1] - expected[0])
    assert loss.is_clear
    assert loss.low is not None
    assert loss.high is not None
    assert loss.low < loss.difference < loss.high < 0
    own = weak.judgement.intervals["log_loss"]
    assert loss.high - loss.low < own[1] - own[0], "pairing narrows the interval"
    assert found.metric("mce").low is None


def test_the_other_way_round_the_difference_is_the_opposite():
    there, back = (
        compare_versions(*pair, RESAMPLING) for pair in ((version(0.1), version()), (version(), version(0.1)))
    )
    for one, other in zip(there.metrics, back.metrics, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        if one.low is not None and one.high is not None:
            assert (one.low, one.high) == pytest.approx((-(other.high or 0.0), -(other.low or 0.0)))


def test_only_decisions_that_both_made_with_the_same_label_are_compared():
    every = version()
    fewer = replace(every, decisions=every.decisions.filter(pl.col("t0").dt.day() % 2 == 0))
    found = compare_versions(every, fewer, RESAMPLING)
    assert found.metric("accuracy").difference == 0
    counts = (fewer.decisions.height, every.decisions.height)
    assert found.pairing == f"{counts[0]} decisions that both made, of {counts[1]} before and {counts[0]} after"
    relabelled = every.decisions.with_columns(label=pl.when(pl.int_range(pl.len()) < 7).then(9).otherwise("label"))
    found = compare_versions(every, replace(every, decisions=relabelled), RESAMPLING)
    assert found.pairing.endswith("; 7 left out whose label changed")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"horizon_seconds": 600}, "the horizon was 1800 s and is 600 s"),
        ({"judgement": replace(judged(0.8)[0], class_names=("a", "b"))}, "and are a, b"),
        ({"decisions": version().decisions.clear()}, "no decision in common"),
    ],
)
def test_what_cannot_be_paired_stands_side_by_side_and_says_why(changes: dict[str, Any], why: str):
    found = compare_versions(version(), replace(version(), **changes), RESAMPLING)
    assert why in found.pairing
    assert found.metric("log_loss").low is None
    assert found.metric("log_loss").before == version().judgement.test.after["log_loss"]


def test_keys_partitions_and_code_that_changed_are_named():
    rows = [("grid", "2024-01-01", "aa", "2"), ("grid", "2024-01-03", "dd", "2"), ("dataset", "demo", "zz", "4")]
    later = replace(
        version(),
        number=2,
        configuration={"training.max_epochs": 12, "model.depth": 2},
        chain=pl.DataFrame(rows, schema=CHAIN_SCHEMA, orient="row"),
    )
    found = compare_versions(version(), later, RESAMPLING)
    assert [(each.key, each.before, each.after) for each in found.configuration] == [
        ("model.depth", None, 2),
        ("model.width", 4, None),
        ("training.max_epochs", 8, 12),
    ]
    assert [(each.asset, each.changed, each.added, each.removed) for each in found.upstream] == [
        ("dataset", ("experiment",), (), ()),
        ("grid", (), ("2024-01-03",), ("2024-01-02",)),
    ]
    assert found.code == {"grid": ("1", "2")}
    lines = list(describe_changes(found))
    assert "configuration: training.max_epochs: 8 -> 12" in lines
    assert "data: grid: 1 new (2024-01-03), 1 gone (2024-01-02)" in lines
    assert "code: grid: 1 -> 2" in lines
    (row,) = change_rows({"one": found})
    assert (row["from"], row["to"], row["code"]) == ("demo/one@1", "demo/one@2", "grid 1 -> 2")
    assert "training.max_epochs 8 -> 12" in row["configuration"]
    assert [each[0] for each in metric_rows(found)] == [each.title for each in found.metrics]


def test_two_models_of_an_experiment_differ_by_content_not_by_name():
    def with_weights(model: str, content: str) -> EvaluationVersion:
        rows = [("trained_model", f"demo|{model}", content, "4"), ("study", "demo|one", "dd", "2")]
        weights = pl.DataFrame(rows, CHAIN_SCHEMA, orient="row")
        return replace(version(), key=f"demo|{model}", chain=pl.concat([version().chain, weights]))

    found = compare_versions(with_weights("one", "ee"), with_weights("two", "ff"), RESAMPLING)
    assert [(each.asset, each.changed) for each in found.upstream] == [("trained_model", ("model",))]
    assert compare_versions(with_weights("one", "ee"), with_weights("two", "ee"), RESAMPLING).is_nothing


LEAVES = st.integers() | st.lists(st.integers(), max_size=2)
NAMES = st.sampled_from("abc")
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


@given(st.dictionaries(NAMES, TREES, max_size=3))
def test_flat_keys_lead_to_the_values_they_name(nested: dict[str, Any]):
    for key, value in flatten(nested).items():
        at: Any = nested
        for part in key.split("."):
            at = at[part]
        assert at == value


def test_mappings_in_lists_are_named_by_their_place():
    assert flatten({"blocks": [{"part": "train"}, {"part": "test"}], "seeds": [1, 2]}) == {
        "blocks.0.part": "train",
        "blocks.1.part": "test",
        "seeds": [1, 2],
    }
