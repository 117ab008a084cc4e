"""The tables of a dataset say what its recipe and its index hold."""

import polars as pl

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.overview import tabulate_classes, tabulate_left_out, tabulate_parts, tabulate_streams


def test_parts_cover_the_index_in_time_order(example_parts: DatasetParts) -> None:
    rows = tabulate_parts(example_parts.recipe)
    counted = example_parts.index.group_by("part").agg(samples=pl.len(), stride=pl.col("on_stride").sum())
    found = {row["part"]: (row["samples"], row["on stride"]) for row in rows}
    assert found == {part: (samples, stride) for part, samples, stride in counted.iter_rows()}
    bounds = [(row["from"], row["to"]) for row in rows]
    assert bounds == sorted(bounds)
    first = example_parts.index["t0"].dt.strftime("%Y-%m-%d %H:%M:%S")[0]
    assert str(rows[0]["from"]) <= first < str(rows[0]["to"])


def test_what_was_left_out_and_what_was_kept_are_all_candidates(example_parts: DatasetParts) -> None:
    rows = tabulate_left_out(example_parts.recipe)
    candidates = example_parts.recipe["counts"]["candidates"]
    assert sum(int(row["decisions"]) for row in rows) + example_parts.index.height == candidates
    assert all(row["share"] == round(int(row["decisions"]) / candidates, 5) for row in rows)


def test_classes_are_counted_by_part_on_the_stride(example_parts: DatasetParts) -> None:
    rows = tabulate_classes(example_parts.recipe)
    assert len(rows) == example_parts.recipe["classes"]
    on_stride = example_parts.index.filter("on_stride")
    for part in on_stride["part"].unique():
        counts = [on_stride.filter(part=part, label=number).height for number in range(len(rows))]
        assert [row[part] for row in rows] == counts


def test_labels_without_classes_have_no_table_of_them(example_parts: DatasetParts) -> None:
    assert tabulate_classes({"class_distribution": {"train": []}, "class_names": []}) == []


def test_streams_state_shape_and_look_back(example_parts: DatasetParts) -> None:
    rows = {row["stream"]: row for row in tabulate_streams(example_parts.recipe)}
    assert set(rows) == set(example_parts.recipe["streams"])
    slots, columns = example_parts.recipe["streams"]["book"]["step_shape"]
    assert rows["book"]["shape of a step"] == f"{slots} x {columns}"
    assert rows["book"]["look-back, steps"] == example_parts.recipe["streams"]["book"]["lookback_steps"]
    constant = sum(len(scaling["constant"]) for scaling in example_parts.recipe["scaling"].values())
    assert sum(int(row["constant columns"]) for row in rows.values()) == constant
