"""Cards are leased by real processes and freed by kill -9; the cards themselves are names."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.launch import count_processes, launch_training
from trademl_assets.training.leases import Cards, find_cards
from trademl_assets_tests.training.conftest import specification, training_values

HOLDER = """
import sys, time
from pathlib import Path
from trademl_assets.training.leases import Cards
print("asks", flush=True)
with Cards(Path(sys.argv[1]), ("0", "1")).lease(int(sys.argv[2])) as names:
    print(",".join(names), flush=True)
    time.sleep(float(sys.argv[3]))
"""
Holder = Callable[[int, float], "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Holder:
    def start(count: int, seconds: float) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLDER, str(tmp_path), str(count), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert said(process) == "asks"
        return process

    return start


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_holders_never_have_the_same_card_and_a_killed_one_frees_its_own(hold: Holder) -> None:
    first, second = hold(1, 60), hold(1, 60)
    freed, other = said(first), said(second)
    assert {freed, other} == {"0", "1"}
    third = hold(1, 0)
    time.sleep(0.5)
    assert third.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert said(third) == freed
    assert third.wait() == 0
    second.kill()
    second.wait()


def test_a_training_of_two_cards_waits_for_both_and_is_not_overtaken(hold: Holder) -> None:
    one = hold(1, 60)
    assert said(one) == "0"
    both = hold(2, 0.5)
    time.sleep(0.5)
    later = hold(1, 0)
    time.sleep(0.5)
    assert both.poll() is None
    assert later.poll() is None
    one.kill()
    one.wait()
    begun = time.monotonic()
    assert said(both) == "0,1"
    assert said(later) in {"0", "1"}
    assert time.monotonic() - begun > 0.4
    assert (both.wait(), later.wait()) == (0, 0)


def test_many_who_want_one_or_both_all_get_them(hold: Holder) -> None:
    holders = [hold(count, 0.05) for count in (2, 1, 2, 1)]
    assert [process.wait(timeout=20) for process in holders] == [0] * 4


def test_a_training_sees_its_cards_alone_and_holds_them_while_it_runs(store: ArtifactStore, tmp_path: Path) -> None:
    cards = Cards(tmp_path / "leases", ("3", "7"))
    seen: list[tuple[str, bool]] = []

    def runner(_command: object, environment: dict[str, str]) -> None:
        taken = environment["CUDA_VISIBLE_DEVICES"]
        code = "import sys\nfrom pathlib import Path\nfrom trademl_assets.storage.locking import locked_if_free\n"
        code += f"with locked_if_free(Path({str(tmp_path / 'leases')!r}) / 'card_{taken}') as free: sys.exit(free)"
        seen.append((taken, subprocess.run([sys.executable, "-c", code], check=False).returncode == 0))
        raise RuntimeError("enough")

    spec = specification(store, tmp_path / "out", training=training_values(devices="1"))
    with pytest.raises(Exception, match="enough"):
        launch_training(spec, runner=runner, cards=cards)  # type: ignore[arg-type]  # takes what it is given
    assert seen == [("3", True)]
    with cards.lease(2) as names:
        assert names == ("3", "7")


def test_a_training_leases_what_it_asks_for() -> None:
    none, one, four = (Cards(Path(), tuple(map(str, range(count)))) for count in (0, 1, 4))
    assert [none.wanted(devices) for devices in ("auto", "cpu", "1", "2")] == [0, 0, 0, 0]
    assert [four.wanted(devices) for devices in ("auto", "cpu", "1", "2")] == [2, 0, 1, 2]
    assert one.wanted("auto") == 1
    with pytest.raises(ConfigError, match="asks for 2 GPUs, there are 1"):
        one.wanted("2")


def test_processes_are_counted_by_the_cards_that_are_handed_in() -> None:
    none, one, four = (Cards(Path(), tuple(map(str, range(count)))) for count in (0, 1, 4))
    assert [count_processes("auto", cards) for cards in (None, none, one, four)] == [1, 1, 1, 2]
    assert [count_processes(devices, four) for devices in ("cpu", "1", "2")] == [1, 1, 2]
    assert [count_processes(devices, None) for devices in ("cpu", "1", "2")] == [1, 1, 2]


def test_only_cards_that_are_visible_are_leased(tmp_path: Path) -> None:
    devices, facts = tmp_path / "dev", tmp_path / "facts"
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (devices / name).mkdir(parents=True)
    for number, identifier in ((0, "GPU-aa11"), (1, "GPU-ab22"), (10, "GPU-cc33")):
        (facts / str(number)).mkdir(parents=True)
        told = f"Model: \t NVIDIA X\nGPU UUID: \t {identifier}\nDevice Minor: \t {number}\n"
        (facts / str(number) / "information").write_text(told)
    expected = {
        None: ("0", "1", "10"),
        "": (),
        "-1": (),
        "1": ("1",),
        "10, 0": ("10", "0"),
        "0,7,1": ("0",),
        "GPU-cc": ("10",),
        "GPU-ab22,0": ("1", "0"),
        "GPU-a": (),
        "1,GPU-ab22": ("1",),
    }
    for stated, names in expected.items():
        assert find_cards(tmp_path, stated, devices, facts).names == names, stated
