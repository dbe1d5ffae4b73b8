"""A working folder of one's own, and a finished run to copy."""

import contextlib
import io
import shutil

import pandas as pd
import pytest

from clumsy import QUICK, choose, table
from gradus.cli.main import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Make the test's own folder the working one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """A finished run ``run`` of ``a.csv``, to be copied."""
    home = tmp_path_factory.mktemp("fitted")
    frame = pd.read_csv(io.StringIO(table())).assign(when=pd.date_range("2024-01-15", periods=40).strftime("%Y-%m-%d"))
    frame[["a", "b", "c", "when", "y"]].to_csv(home / "a.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(home)
        assert run(["fit", "a.csv", "--quiet", *QUICK, "--out", "run"]) == 0
    choose(home / "run", "multilayer perceptron")
    return home


@pytest.fixture
def finished(fitted, tmp_path, here):
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"
