"""A dataset's external series: what it is made from, and what a series that is not there costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trademl_assets.definitions import build_definitions
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.lineage import Artifact
from trademl_assets.orchestration.planning import wanted
from trademl_assets_tests.orchestration.conftest import tiny_configuration

SERIES = {"market": {"series": {"mood": "planted", "index": "planted"}}}


def reads(series: str) -> Mapping[str, Any]:
    chosen = {"kind": "external_series", "lookback": "PT4H", "parameters": {"series": series, "full_age_seconds": 60}}
    return {"datasets": {"demo": {"streams": {"additional": {"news": chosen}}}}}


def upstream_assets(definitions: dg.Definitions) -> set[str]:
    node = definitions.resolve_asset_graph().get(dg.AssetKey("dataset"))
    return {parent.to_user_string() for parent in node.parent_keys}


def test_a_dataset_is_made_from_the_series_that_its_streams_read(root: Path) -> None:
    deployment = Deployment.of(tiny_configuration(root, SERIES, reads("mood")))
    upstream = deployment.lineage.upstream("dataset", "demo")
    assert [each for each in upstream if each.asset == "external_series"] == [Artifact("external_series", "mood")]
    needed = wanted(deployment, "demo", None)
    assert needed["external_series"] == ("mood",)
    assert list(needed).index("external_series") < list(needed).index("dataset")


def test_a_dataset_without_such_streams_needs_no_series(root: Path) -> None:
    deployment = Deployment.of(tiny_configuration(root, SERIES))
    assert "external_series" not in wanted(deployment, "demo", None)


def test_changed_parameters_of_a_stream_make_the_dataset_stale(root: Path) -> None:
    one, other = (Deployment.of(tiny_configuration(root, SERIES, reads(name))) for name in ("mood", "index"))
    assert one.lineage.fingerprint("dataset", "demo") != other.lineage.fingerprint("dataset", "demo")


def test_the_graph_shows_the_series_only_where_there_are_any(root: Path) -> None:
    assert "external_series" in upstream_assets(build_definitions(tiny_configuration(root, SERIES)))
    assert "external_series" not in upstream_assets(build_definitions(tiny_configuration(root)))


def test_a_series_that_the_market_does_not_have_is_a_mistake_at_the_stream(root: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_configuration(root, SERIES, reads("rumours"))
    line = str(caught.value).splitlines()[1]
    assert line.startswith(
        "datasets.yaml: demo.streams.additional.news.parameters: reads the external series 'rumours'"
    )
    assert "market.yaml has mood, index" in line
