"""Free memory: what Linux calls available, within the bounds of the control groups above the process."""

from pathlib import Path

import pytest

from trademl_assets.foundation.free_memory import free_host_bytes

GIGABYTE = 1 << 30


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {8 << 20} kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder: str, most: str, used: int, cached: int, names: tuple[str, str, str]) -> dict[str, str]:
    bound, current, statistic = names
    stated = {bound: f"{most}\n", current: f"{used}\n", "memory.stat": f"anon 1\n{statistic} {cached}\nslab 2\n"}
    return {f"{folder}/{name}": text for name, text in stated.items()}


SECOND = ("memory.max", "memory.current", "inactive_file")
FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_without_bounds_it_is_what_the_system_calls_available(tmp_path: Path) -> None:
    assert free_host_bytes(lay(tmp_path, {})) == 8 * GIGABYTE


def test_a_group_leaves_its_bound_less_its_use_the_page_cache_left_out(tmp_path: Path) -> None:
    own = group("sys/fs/cgroup/a/b", str(4 * GIGABYTE), 3 * GIGABYTE, GIGABYTE, SECOND)
    assert free_host_bytes(lay(tmp_path, {"proc/self/cgroup": "0::/a/b\n", **own})) == 2 * GIGABYTE


def test_the_tightest_group_above_counts_and_those_without_bounds_do_not(tmp_path: Path) -> None:
    own = group("sys/fs/cgroup/a/b", "max", 3 * GIGABYTE, 0, SECOND)
    above = group("sys/fs/cgroup/a", str(2 * GIGABYTE), GIGABYTE, 0, SECOND)
    assert free_host_bytes(lay(tmp_path, {"proc/self/cgroup": "0::/a/b\n", **own, **above})) == GIGABYTE


@pytest.mark.parametrize("folder", ["sys/fs/cgroup/memory/docker/1", "sys/fs/cgroup/memory"])
def test_groups_of_the_first_kind_are_found_by_path_or_at_the_mounted_root(tmp_path: Path, folder: str) -> None:
    own = group(folder, str(4 * GIGABYTE), 3 * GIGABYTE, 0, FIRST)
    groups = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n"
    assert free_host_bytes(lay(tmp_path, {"proc/self/cgroup": groups, **own})) == GIGABYTE


def test_a_group_over_its_bound_leaves_nothing(tmp_path: Path) -> None:
    own = group("sys/fs/cgroup", str(GIGABYTE), 2 * GIGABYTE, 0, SECOND)
    assert free_host_bytes(lay(tmp_path, {"proc/self/cgroup": "0::/\n", **own})) == 0


def test_this_machine_has_some() -> None:
    assert free_host_bytes() > 0
