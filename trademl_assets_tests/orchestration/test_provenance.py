"""The chain of hashes of a model on the tiny market: whole, and with every kind of damage, as the command tells it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from trademl_assets.cli import main
from trademl_assets.evaluation.provenance import Chain
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.orchestration.lineage import Lineage
from trademl_assets.orchestration.provenance import trace_target
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets_tests.orchestration.conftest import World, tiny_configuration

KEY = "demo|dual_channel"
DAY = "2024-01-06"


def commit(store: ArtifactStore, world: World, asset: str, *, value: int = 0) -> None:
    """A partition of a model, made from what the configuration says."""
    provenance = Lineage(world.configuration).provenance(store, asset, KEY, "a run")
    with store.write(asset, KEY, schema_version=1, provenance=provenance) as writer:
        writer.table("predictions", pl.DataFrame({"sample": [0, 1, value]}))
        writer.text("report", "<html></html>", hashed=False)


@pytest.fixture
def site(made_world: World, tmp_path: Path) -> Callable[[str], Chain]:
    """The made world with a model on top, below a root of its own; traces a target in it."""
    shutil.copytree(made_world.configuration.platform.storage_root, tmp_path / "var" / "demo" / "store")
    configuration = tiny_configuration(tmp_path)
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    for asset in ("hyperparameter_study", "trained_model", "calibrated_model"):
        commit(store, made_world, asset)
    return lambda target: trace_target(configuration, target)


@pytest.fixture
def store(site: object, tmp_path: Path) -> ArtifactStore:
    del site
    return ArtifactStore.at(tmp_path / "var" / "demo" / "store")


def status(chain: Chain) -> dict[str, tuple[str, str]]:
    """What is not verified: status and problems by place."""
    return {link.place: (link.status, "; ".join(link.problems)) for link in chain.links if link.status != "verified"}


def a_file(store: ArtifactStore, asset: str, key: str, name: str = "data") -> Path:
    return store.layout.partition_folder(asset, key) / store.require(asset, key).files[name].file


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_whole_chain_reaches_every_source_and_is_verified(site, store, made_world):
    chain = site("demo/dual_channel")
    assert chain.is_intact
    assert chain.target == f"calibrated_model/{KEY}"
    expected = {f"calibrated_model/{KEY}"}
    waiting = list(expected)
    while waiting:
        asset, _, key = waiting.pop().partition("/")
        new = {str(each) for each in Lineage(made_world.configuration).upstream(asset, key)} - expected
        expected |= new
        waiting += new
    assert {link.place for link in chain.links} == expected
    assert len(chain.links) == len(expected)
    counted = {summary.asset: summary.partitions for summary in chain.summaries()}
    assert counted["book_snapshots"] == 18
    assert counted["raw_depth"] == 3
    assert list(counted)[-1] in {"raw_depth", "book_snapshots"}


def test_rows_removed_after_use_are_said_to_be_removed_and_not_missing(site):
    chain = site(f"trained_model/{KEY}")
    (raw,) = (summary for summary in chain.summaries() if summary.asset == "raw_depth")
    assert (raw.verified, raw.missing, raw.evicted) == (3, 0, 3)
    assert {link.evicted for link in chain.links if link.asset == "raw_depth"} == {("data",)}


def test_sources_are_told_with_their_parameters(site, tmp_path):
    uses = {use.asset: use for use in site(f"trained_model/{KEY}").sources}
    assert set(uses) == {"raw_depth", "book_snapshots", "daily_aggregates"}
    assert (uses["raw_depth"].partitions, uses["raw_depth"].first, uses["raw_depth"].last) == (3, DAY, DAY)
    assert (uses["book_snapshots"].partitions, uses["book_snapshots"].first) == (15, "2024-01-01")
    assert uses["raw_depth"].kind == "planted_market"
    assert uses["raw_depth"].parameters["seed"] == 2
    assert {use.otherwise for use in uses.values()} == {0}
    change = {"market": {"sources": {"planted": {"parameters": {"seed": 3}}}}}
    elsewhere = trace_target(tiny_configuration(tmp_path, change), f"trained_model/{KEY}")
    assert elsewhere.is_intact, "the chain is what it was, only the present configuration is another"
    assert {use.asset: use.otherwise for use in elsewhere.sources} == {
        "raw_depth": 3,
        "book_snapshots": 15,
        "daily_aggregates": 6,
    }


@pytest.mark.parametrize(
    ("asset", "key", "name"),
    [
        ("book_snapshots", "2024-01-02|LEADUSDT", "data"),
        ("aligned_grid", "2024-01-03", "arrays"),
        ("raw_depth", f"{DAY}|FOLAUSDT", "population"),
        ("dataset", "demo", "index"),
        ("trained_model", KEY, "report"),
    ],
)
def test_a_flipped_byte_and_a_lost_file_are_found_where_they_are(site, store, asset, key, name):
    file = a_file(store, asset, key, name)
    whole = file.read_bytes()
    flip(file)
    found = status(site(f"calibrated_model/{KEY}"))
    assert found.keys() == {f"{asset}/{key}"}
    assert found[f"{asset}/{key}"][0] == "changed"
    assert f"{file.name} has another hash" in found[f"{asset}/{key}"][1]
    file.unlink()
    assert status(site(f"calibrated_model/{KEY}")) == {f"{asset}/{key}": ("missing", f"{file.name} is gone")}
    file.write_bytes(whole)
    assert site(f"calibrated_model/{KEY}").is_intact


def test_an_upstream_made_again_with_other_content_is_named_with_what_was_made_from_it(site, store, made_world):
    old = store.require("trained_model", KEY).content_hash
    commit(store, made_world, "trained_model")
    assert site(f"calibrated_model/{KEY}").is_intact, "the same content again changes nothing"
    commit(store, made_world, "trained_model", value=7)
    new = store.require("trained_model", KEY).content_hash
    said = f"calibrated_model/{KEY} was made from content {old[:12]}, there is {new[:12]} now"
    assert status(site(f"calibrated_model/{KEY}")) == {f"trained_model/{KEY}": ("changed", said)}
    assert site(f"trained_model/{KEY}").is_intact


def test_a_lost_partition_ends_its_branch_only(site, store):
    store.delete("aligned_grid", "2024-01-03")
    found = status(site(f"calibrated_model/{KEY}"))
    assert {place: each[0] for place, each in found.items()} == {"aligned_grid/2024-01-03": "missing"}


def test_a_manifest_that_was_written_by_hand_does_not_pass(site, store):
    path = store.layout.partition_folder("market_regime", "2024-01-04") / "manifest.json"
    path.write_text(path.read_text().replace('"rows": 1', '"rows": 2'))
    found = status(site(f"calibrated_model/{KEY}"))
    assert found["market_regime/2024-01-04"][0] == "changed"
    assert "checksum does not fit" in found["market_regime/2024-01-04"][1]


def test_a_manifest_with_a_right_checksum_but_other_facts_does_not_pass(site, store):
    manifest = store.require("dataset", "demo")
    folder = store.layout.partition_folder("dataset", "demo")
    (folder / "manifest.json").write_text(manifest.__class__(**{**vars(manifest), "rows": manifest.rows + 1}).to_json())
    assert "adds up to" in status(site(f"calibrated_model/{KEY}"))["dataset/demo"][1]


def test_a_file_of_the_store_and_a_copy_of_it_name_their_partition(site, store, tmp_path):
    file = a_file(store, "calibrated_model", KEY, "predictions")
    copy = tmp_path / "predictions.parquet"
    copy.write_bytes(a_file(store, "trained_model", KEY, "report").read_bytes() + b" ")
    assert site(str(file)).target == f"calibrated_model/{KEY}"
    copy.write_bytes(a_file(store, "aligned_grid", "2024-01-02", "arrays").read_bytes())
    assert site(str(copy)).target == "aligned_grid/2024-01-02"


def test_what_names_nothing_is_refused_with_what_to_do(site, store, tmp_path, environment_of):
    other = tmp_path / "other.parquet"
    other.write_bytes(b"something else")
    for target, said in (
        ("nonsense", "asset/partition, experiment/model"),
        ("demo/no_such_model", "no such model was trained"),
        ("trained_model/demo|other", "not materialised"),
        (str(other), "no partition of .* holds these bytes"),
    ):
        environment_of(["provenance", target], 2 if target == "nonsense" else 1, said)


@pytest.fixture
def environment_of(site, tmp_path, monkeypatch, capsys):
    """Runs a command on the site: its status, and what stands in what it says."""
    monkeypatch.setenv("TRADEML_VAR", str(tmp_path / "var"))

    def run(arguments: list[str], expected: int, said: str = "") -> str:
        assert main([*arguments, "--config", str(tmp_path / "config")]) == expected
        captured = capsys.readouterr()
        assert re.search(said, captured.out + captured.err), captured.out + captured.err
        return str(captured.out)

    return run


def test_the_command_ends_with_status_1_where_something_does_not_match(store, environment_of):
    told = environment_of(["provenance", "demo|dual_channel"], 0, "intact: every hash fits")
    assert "source of raw_depth, 3 partition" in told
    assert "dataset/demo verified" not in told
    told = environment_of(["provenance", "demo/dual_channel", "--full"], 0)
    assert f"raw_depth/{DAY}|FOLAUSDT verified {store.require('raw_depth', f'{DAY}|FOLAUSDT').content_hash}" in told
    assert "removed after use: data" in told
    document = json.loads(environment_of(["provenance", "demo/dual_channel", "--json"], 0))
    assert document["intact"] is True
    assert {link["asset"] for link in document["links"]} <= set(ENTRIES)
    flip(a_file(store, "book_snapshots", "2024-01-02|LEADUSDT"))
    environment_of(
        ["provenance", "demo/dual_channel"], 1, "book_snapshots/2024-01-02.LEADUSDT: changed: .* has another"
    )
    assert json.loads(environment_of(["provenance", "demo/dual_channel", "--json"], 1))["intact"] is False


def test_how_a_source_was_asked_is_shown(store, site):
    with store.write("raw_depth", f"{DAY}|LEADUSDT", schema_version=1, provenance=Provenance("2", "c", {})) as writer:
        writer.table("data", pl.DataFrame({"ts": [1]}))
        writer.text("extraction", '{"count_statement": "SELECT COUNT(*)"}', ".json", hashed=False)
    chain = site(f"raw_depth/{DAY}|LEADUSDT")
    assert chain.links[0].extraction == {"count_statement": "SELECT COUNT(*)"}
    assert chain.sources[0].otherwise == 1
