"""The gates before serving: what they refuse, what they only tell, and that a judgement stays to tell why."""

from dataclasses import replace

import dagster as dg
import pytest

from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.orchestration.model_checks import calibration_gate_look, skill_gate_look
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example
from trademl_assets_tests.orchestration.conftest import World

KEY, MODEL = "demo|dual_channel", dg.AssetKey("model_evaluation")
CALIBRATION, SKILL = "model_evaluation_calibration_within_limits", "model_evaluation_beats_volatility_or_is_marked"


def _judged(signal: float) -> Judgement:
    parameters, example = (
        evaluation_parameters(bootstrap_replicates=100, excess_replicates=100),
        make_example(signal=signal),
    )
    found = example.calibrated(parameters)
    return judge_model(
        found.table, example.index, EDGES_BPS, found.calibration, parameters, class_names=interval_names(EDGES_BPS)
    )


@pytest.fixture(scope="module")
def skilled() -> Judgement:
    return _judged(0.6)


@pytest.fixture(scope="module")
def noise() -> Judgement:
    return _judged(0.0)


def spoiled(judgement: Judgement) -> Judgement:
    first, *rest = judgement.cells
    return replace(judgement, cells=(replace(first, verdict="failed", excess=0.08, adjusted=0.0004), *rest))


def write(store: ArtifactStore, judgement: Judgement, **notes: object) -> None:
    with store.write("model_evaluation", KEY, schema_version=1, provenance=Provenance("4", "", {}, "")) as writer:
        writer.json("judgement", judgement.as_dict())
        writer.rows(judgement.test.samples)
        for name, value in ({"verdict": judgement.verdict, "fit_to_serve": judgement.fit_to_serve} | notes).items():
            writer.note(name, value)


def gates(world: World) -> tuple[bool, dict[str, dg.AssetCheckEvaluation]]:
    """Run both gates over what lies in the store; whether the run succeeded, and what they said."""
    keys = [dg.AssetCheckKey(MODEL, name) for name in (CALIBRATION, SKILL)]
    job = world.definitions.resolve_job_def("model_job")
    checks = job.get_subset(asset_selection=set(), asset_check_selection=set(keys))
    result = checks.execute_in_process(instance=world.instance, raise_on_error=False)
    return result.success, {each.check_name: each for each in result.get_asset_check_evaluations()}


def test_a_skilled_and_calibrated_model_passes_and_is_fit_to_serve(world: World, skilled: Judgement):
    assert skilled.fit_to_serve
    write(world.store, skilled)
    success, said = gates(world)
    assert success
    assert {name: each.passed for name, each in said.items()} == {CALIBRATION: True, SKILL: True}
    assert len(said[CALIBRATION].metadata["cells"].records) == len(skilled.cells)


def test_a_miscalibrated_model_with_skill_ends_the_run_and_its_judgement_stays(world: World, skilled: Judgement):
    write(world.store, spoiled(skilled))
    success, said = gates(world)
    assert not success
    refused = said[CALIBRATION]
    assert (refused.passed, refused.severity, refused.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert "top label in regime all (excess +0.080, p 0.0004)" in str(refused.metadata["problem"].value)
    assert world.store.partitions("model_evaluation") == (KEY,)
    assert not spoiled(skilled).fit_to_serve


def test_no_skill_is_marked_and_does_not_fail_the_run_even_when_miscalibrated(world: World, noise: Judgement):
    assert noise.verdict == "no skill"
    write(world.store, spoiled(noise))
    success, said = gates(world)
    assert success
    assert (said[CALIBRATION].passed, said[CALIBRATION].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert said[SKILL].passed
    assert said[SKILL].metadata["fit_to_serve"].value is False


@pytest.mark.parametrize("notes", [{"verdict": "skill"}, {"fit_to_serve": True}])
def test_a_model_without_skill_that_is_not_marked_so_is_refused(
    world: World, noise: Judgement, notes: dict[str, object]
):
    write(world.store, noise, **notes)
    success, said = gates(world)
    assert not success
    assert "evaluate the model again" in str(said[SKILL].metadata["problem"].value)


def test_looks_say_the_same_for_the_same_judgement(world: World, skilled: Judgement):
    write(world.store, skilled)
    assert calibration_gate_look(world.store, KEY).problem == ""
    assert skill_gate_look(world.store, KEY) == skill_gate_look(world.store, KEY)
