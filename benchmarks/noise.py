"""How often the platform finds skill in noise: `python -m benchmarks.noise 13` makes 13 markets without a signal.

Each is `configs/planted_noise` with a seed of its own, taken through the real stages from snapshots to the verdict, for
three targets whose returns have nothing in common. A verdict of skill, or an interval of the gain that lies above 0, is
a false claim.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from scipy.stats import beta

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.definitions import build_definitions
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.orchestration.catalog import MODEL_EVALUATION
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.drive import Drive
from trademl_assets.orchestration.partitions import join_key
from trademl_assets.orchestration.resources.tracking import StageTracking
from trademl_assets.storage.commit import ArtifactStore

NOISE = Path(__file__).resolve().parents[1] / "configs" / "planted_noise"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Claim:
    """What was said of one model of noise; nats a decision."""

    seed: int
    experiment: str
    verdict: str
    fit_to_serve: bool
    gain: float
    low: float
    high: float


def judge_noise(seed: int, root: Path) -> Iterator[Claim]:
    """Make one market without a signal and yield what is said of each of its models."""
    folder = root / "config"
    shutil.copytree(NOISE, folder)
    market = yaml.safe_load((folder / "market.yaml").read_text())
    market["sources"]["planted"]["parameters"]["seed"] = seed
    (folder / "market.yaml").write_text(yaml.safe_dump(market))
    configuration = load_configuration(folder, {**os.environ, "TRADEML_VAR": str(root)})
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    with dg.DagsterInstance.ephemeral() as instance:
        drive = Drive(
            Deployment.of(configuration),
            build_definitions(configuration),
            instance=instance,
            store=store,
            tracking=StageTracking(configuration.tracking),
            report=lambda _: None,
        )
        for experiment in sorted(configuration.datasets):
            drive.run(experiment)
            for model in sorted(configuration.all_models):
                key = join_key(experiment, model)
                found = Judgement.from_dict(store.read_json(MODEL_EVALUATION.name, key, "judgement"))
                skill = found.reference
                yield Claim(
                    seed, experiment, found.verdict, found.fit_to_serve, skill.difference, skill.low, skill.high
                )


def highest_rate(claims: int, models: int) -> float:
    """Upper end of the one-sided interval of a rate (Clopper and Pearson 1934)."""
    return float(beta.ppf(CONFIDENCE, claims + 1, models - claims)) if claims < models else 1.0


def main(arguments: Sequence[str]) -> int:
    """Run; the last line is the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise")
    parser.add_argument("markets", type=int, help="how many markets")
    parser.add_argument("--first-seed", type=int, default=1000, help="seeds count up from here")
    options = parser.parse_args(arguments)
    said: list[Claim] = []
    begun = time.monotonic()
    for seed in range(options.first_seed, options.first_seed + options.markets):
        with tempfile.TemporaryDirectory() as root:
            for claim in judge_noise(seed, Path(root)):
                said.append(claim)
                sys.stdout.write(
                    f"seed {claim.seed} {claim.experiment}: {claim.verdict}, fit to serve {claim.fit_to_serve}, gain "
                    f"{claim.gain:+.4f} [{claim.low:+.4f}, {claim.high:+.4f}]\n"
                )
                sys.stdout.flush()
    skilful = sum(claim.verdict == "skill" for claim in said)
    above, served = sum(claim.low > 0 for claim in said), sum(claim.fit_to_serve for claim in said)
    sys.stdout.write(
        f"{skilful} of {len(said)} models of noise were said to have skill, {served} to be fit to serve; "
        f"{above} had an interval above 0; at {CONFIDENCE:.0%} confidence the rate is at most "
        f"{highest_rate(skilful, len(said)):.1%} ({time.monotonic() - begun:.0f} s)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
