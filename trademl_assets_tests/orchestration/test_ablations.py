"""An ablation is trained with what was found for its model, and stands on that model's study."""

from pathlib import Path

import dagster as dg
import pytest

from trademl_assets.configuration.model import Configuration
from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.ablations import DIVERGENCES, tabulate_divergences
from trademl_assets.evaluation.comparison import decision_losses
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.orchestration.ablations import choice_of_study, study_key
from trademl_assets.orchestration.assets.ablations import read_ablations
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.lineage import Artifact
from trademl_assets.orchestration.planning import wanted, why_stale
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example
from trademl_assets_tests.orchestration.conftest import World, make_world, tiny_configuration

ABLATIONS = {"ablations": {"returns_only": {"of": "dual_channel", "parameters": {"book": None}}}}
NOTHING = Provenance("1", "", {}, "")
FOUND = {"model.history.width": 20, "model.book.slots_per_band": 3}


@pytest.fixture
def ablated(root: Path) -> Configuration:
    return tiny_configuration(root, ABLATIONS)


def _store(configuration: Configuration) -> ArtifactStore:
    return ArtifactStore.at(Path(configuration.platform.storage_root))


def test_its_training_takes_over_the_choice_of_its_models_study(ablated: Configuration):
    store = _store(ablated)
    with store.write(
        "hyperparameter_study", "demo|dual_channel", schema_version=1, provenance=Provenance("2", "", {}, "")
    ) as writer:
        writer.json("best", FOUND)
    assert choice_of_study(ablated, store, "demo|dual_channel") == FOUND
    assert choice_of_study(ablated, store, "demo|returns_only") == {"model.history.width": 20}


def test_its_study_is_its_models_in_plan_and_provenance(ablated: Configuration):
    assert study_key(ablated, "demo|returns_only") == study_key(ablated, "demo|dual_channel") == "demo|dual_channel"
    deployment = Deployment.of(ablated)
    needed = wanted(deployment, "demo", None)
    assert needed["hyperparameter_study"] == ("demo|dual_channel",)
    assert needed["trained_model"] == ("demo|dual_channel", "demo|returns_only")
    assert needed["ablation_study"] == ("demo",)
    upstream = [str(each) for each in deployment.lineage.upstream("trained_model", "demo|returns_only")]
    assert upstream == ["dataset/demo", "hyperparameter_study/demo|dual_channel"]


def test_a_changed_ablation_makes_its_own_model_stale_alone(root: Path, ablated: Configuration, tmp_path: Path):
    other = tiny_configuration(
        tmp_path / "other",
        {"ablations": {"returns_only": {"of": "dual_channel", "parameters": {"book": {"slots": 2}}}}},
    )
    before, after = (Deployment.of(configuration).lineage for configuration in (ablated, other))
    changed = {
        (asset, key)
        for asset, key in (
            ("trained_model", "demo|dual_channel"),
            ("trained_model", "demo|returns_only"),
            ("hyperparameter_study", "demo|dual_channel"),
        )
        if before.fingerprint(asset, key) != after.fingerprint(asset, key)
    }
    assert changed == {("trained_model", "demo|returns_only")}


def test_a_job_over_all_models_passes_the_ablations_study_by(ablated: Configuration):
    world = make_world(ablated, dg.DagsterInstance.ephemeral())
    with world.store.write("dataset", "demo", schema_version=1, provenance=Provenance("4", "", {}, "")) as writer:
        writer.rows(0)
    job = world.definitions.resolve_job_def("model_job")
    selected = job.get_subset(asset_selection={dg.AssetKey("hyperparameter_study")})
    tags = {f"dagster/asset_partition_range_{end}": "demo|returns_only" for end in ("start", "end")}
    assert selected.execute_in_process(instance=world.instance, tags=tags).success
    manifest = world.store.require("hyperparameter_study", "demo|returns_only")
    assert manifest.notes["note"] == "not searched: an ablation is trained with the values of dual_channel"


def _evaluate(world: World, model: str, known: float, ceiling: str) -> None:
    """Write what an evaluation of a model that knows a share of the drift leaves behind, as far as a study reads it."""
    example, parameters = make_example(known=known), evaluation_parameters(bootstrap_replicates=100)
    found = example.calibrated(parameters)
    optimum = example.optimum | {"ceiling": example.optimum[ceiling]}
    judgement = judge_model(
        found.table,
        example.index,
        EDGES_BPS,
        found.calibration,
        parameters,
        class_names=interval_names(EDGES_BPS),
        optimum=optimum,
    )
    provenance = Provenance("5", "", {}, "")
    with world.store.write("model_evaluation", f"demo|{model}", schema_version=1, provenance=provenance) as writer:
        writer.json("judgement", judgement.as_dict())
        losses = decision_losses(
            found.table,
            example.index,
            classes=len(EDGES_BPS) + 1,
            boundaries_bps=EDGES_BPS.tolist(),
            parameters=parameters.baselines,
        )
        writer.table("losses", losses)
        writer.table(DIVERGENCES, tabulate_divergences(found.table, optimum))
        writer.rows(losses.height)


def test_the_study_is_made_by_its_job_and_shown_with_its_picture(ablated: Configuration):
    world = make_world(ablated, dg.DagsterInstance.ephemeral())
    _evaluate(world, "dual_channel", 0.9, "optimum")
    _evaluate(world, "returns_only", 0.4, "returns_only")
    assert world.run("ablation_job", "demo").success
    table = world.store.read_table("ablation_study", "demo")
    assert table.select("model", "of").rows() == [("dual_channel", None), ("returns_only", "dual_channel")]
    assert table["ceiling"].to_list()[0] == 1 > table["ceiling"].to_list()[1] > table["share"].to_list()[1]
    (made,) = world.materializations("ablation_study")
    shown = {name: value.value for name, value in made.metadata.items()}
    assert str(shown["plot"]).startswith("![plot](data:image/png;base64,")
    assert str(shown["said"]).startswith("returns_only against dual_channel: lost +0.")
    assert {"ablations", "reference", "returns_only_lost", "dual_channel_gain", "returns_only_ceiling"} <= set(shown)
    read = read_ablations(world.store, "demo")
    assert read is not None
    assert read.table.equals(table)
    assert "ablation_study/demo" in {str(each) for each in world.deployment.lineage.upstream("leaderboard", "demo")}


def test_a_leaderboard_waits_for_no_study_and_is_stale_once_there_is_one(ablated: Configuration):
    world = make_world(ablated, dg.DagsterInstance.ephemeral())
    for model in ("dual_channel", "returns_only"):
        with world.store.write("model_evaluation", f"demo|{model}", schema_version=1, provenance=NOTHING) as writer:
            writer.rows(0)
    lineage = world.deployment.lineage
    made = lineage.provenance(world.store, "leaderboard", "demo", "run")
    assert made.upstream["ablation_study/demo"] == ""
    assert read_ablations(world.store, "demo") is None
    with world.store.write("leaderboard", "demo", schema_version=1, provenance=made) as writer:
        writer.rows(0)
    board = Artifact("leaderboard", "demo")
    assert why_stale(world.store, lineage, board) == ""
    with world.store.write("ablation_study", "demo", schema_version=1, provenance=NOTHING) as writer:
        writer.rows(0)
    assert why_stale(world.store, lineage, board) == "ablation_study/demo changed"
    assert read_ablations(world.store, "demo") is None  # made before it told what its page needs


def test_the_leaderboard_reads_the_study_in_the_graph_where_there_are_ablations(
    ablated: Configuration, configuration: Configuration
):
    for each, expected in ((ablated, True), (configuration, False)):
        graph = make_world(each, dg.DagsterInstance.ephemeral()).definitions.resolve_asset_graph()
        assert (dg.AssetKey("ablation_study") in graph.get(dg.AssetKey("leaderboard")).parent_keys) == expected
