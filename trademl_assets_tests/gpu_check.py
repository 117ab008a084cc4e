"""Runs every test that is marked `gpu` and ends with a table of what was checked: `make gpu-check`."""

import sys

import pytest
import torch

MOST_SECONDS = 540


class Outcomes:
    """Collects what became of each test."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of a test, or of a fixture that failed."""
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.rpartition("/")[2].partition("::")[2].removeprefix("test_").replace("_", " ")
            self.rows.append((name, report.outcome, report.duration))

    def table(self) -> list[str]:
        """Return a Markdown table."""
        head = ["| checked | outcome | seconds |", "| --- | --- | --- |"]
        return head + [f"| {name} | {outcome} | {seconds:.1f} |" for name, outcome, seconds in self.rows]


def main() -> int:
    """Run them; without a CUDA device, or with none that passed, it fails."""
    found = Outcomes()
    status = pytest.main(["-m", "gpu", "-q", f"--timeout={MOST_SECONDS}", "trademl_assets_tests"], plugins=[found])
    for line in found.table():
        print(line)
    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    passed = sum(outcome == "passed" for _, outcome, _ in found.rows)
    print(f"torch {torch.__version__}; {', '.join(cards) or 'no CUDA device'}; {passed} of {len(found.rows)} passed")
    if not cards:
        print("nothing was checked: torch sees no CUDA device -> make gpu-install, and see what nvidia-smi tells")
        return 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
