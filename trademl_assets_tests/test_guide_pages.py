"""Guide pages name what there is."""

import re
from pathlib import Path

import pytest

from trademl_assets.sources import market  # noqa: F401 -- importing registers the kinds
from trademl_assets.sources.contract import SOURCES
from trademl_assets_tests.conftest import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md")), *sorted((PROJECT / "examples").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")


def test_the_page_on_sources_lists_every_kind_once() -> None:
    page = (PROJECT / "docs" / "guide" / "your_own_data.md").read_text()
    section = page.split("## Which source")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_0-9]+)` \|", section, re.MULTILINE)
    built_in = [name for name in SOURCES.names() if SOURCES.get(name).__module__.startswith("trademl_assets.")]
    assert sorted(listed) == sorted(built_in)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for place, heading in LINK.findall(page.read_text()):
        target = page.parent / place if place else page
        assert target.exists(), place
        if heading:
            assert heading in anchors(target), f"{place}#{heading}"


def anchors(page: Path) -> set[str]:
    """Headings as links name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
