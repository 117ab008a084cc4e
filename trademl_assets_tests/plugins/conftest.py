"""The example plug-in package, installed for real."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trademl_assets_tests.conftest import PROJECT

EXAMPLE = PROJECT / "examples" / "plugin_package"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example package was installed into; its sources are copied, so that they stay clean."""
    folder = tmp_path_factory.mktemp("plugins")
    built = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(EXAMPLE, folder / "source", ignore=built)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    where = ["--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *where], check=True, cwd=folder)
    return folder / "site"
