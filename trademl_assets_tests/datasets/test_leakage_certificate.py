"""The certificate stands as long as nothing that it depends on changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trademl_assets.datasets import leakage_certificate
from trademl_assets.datasets.leakage_certificate import CERTIFICATE_ASSET, certify, code_fingerprint
from trademl_assets.datasets.leakage_findings import LeakageReport
from trademl_assets.datasets.leakage_raw import RawStages
from trademl_assets.datasets.price_classes import PriceClasses
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import make_store, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import FIRST, parameters_of, stated
from trademl_assets_tests.datasets.test_leakage_raw import stages


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    store = make_store(tmp_path_factory.mktemp("certified"))
    write_experiment(store, "example", parameters_of(stated()))
    return store


@pytest.fixture
def audits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many audits were made so far in this test; they still are real ones."""
    made: list[str] = []
    real = leakage_certificate.audit

    def counting(store: ArtifactStore, experiment: str, raw: RawStages | None) -> LeakageReport:
        made.append(experiment)
        return real(store, experiment, raw)

    monkeypatch.setattr(leakage_certificate, "audit", counting)
    return lambda: len(made)


def test_an_unchanged_dataset_keeps_its_certificate(certified: ArtifactStore, audits: Callable[[], int]) -> None:
    first, second = certify(certified, "example", None), certify(certified, "example", None)

    assert (first.is_earlier, second.is_earlier, audits()) == (False, True, 1)
    assert second.report == first.report
    assert first.report.passed
    assert certified.require(CERTIFICATE_ASSET, "example").notes["passed"] is True


def test_other_parameters_of_the_raw_stages_make_it_again(certified: ArtifactStore) -> None:
    certify(certified, "example", None)

    assert not certify(certified, "example", stages()).is_earlier
    assert certify(certified, "example", stages()).is_earlier


def test_other_code_makes_it_again(certified: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    certify(certified, "example", None)
    monkeypatch.setattr(leakage_certificate, "LIBRARIES", ("numpy",))
    assert not certify(certified, "example", None).is_earlier


def test_a_day_that_was_made_anew_makes_it_again_and_is_found(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    write_experiment(store, "example", parameters_of(stated()))
    assert certify(store, "example", None).report.passed

    write_grid_day(store, FIRST, seed=1)
    certificate = certify(store, "example", None)

    assert not certificate.is_earlier
    assert "price: stored stream is what its function gives" in {each.rule for each in certificate.report.violations}
    assert certify(store, "example", None).report == certificate.report


def test_a_damaged_certificate_is_made_again(certified: ArtifactStore) -> None:
    certify(certified, "example", None)
    path = certified.file_path(CERTIFICATE_ASSET, "example", "report")
    path.write_bytes(path.read_bytes().replace(b"holds", b"holdS", 1))

    assert not certify(certified, "example", None).is_earlier
    assert certify(certified, "example", None).is_earlier


def test_the_code_is_that_of_the_audited_packages_and_of_the_plugins() -> None:
    class Mine(PriceClasses):
        pass

    assert code_fingerprint([PriceClasses]) == code_fingerprint([PriceClasses])
    assert len({code_fingerprint([]), code_fingerprint([PriceClasses]), code_fingerprint([Mine])}) == 3
