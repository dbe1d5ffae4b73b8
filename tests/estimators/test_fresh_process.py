"""A saved estimator answers alike in a process that has nothing but the folder."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from estimators.cases import ESTIMATORS, answers_of, data_for, name_of, small

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    for cls in ESTIMATORS:
        X, y = data_for(cls)
        model = small(cls).fit(X, y)
        folder = model.save(home / cls.__name__)
        np.save(folder / "X.npy", X)
        np.save(folder / "here.npy", answers_of(model, X))
    path = os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parent)])
    command = [sys.executable, str(HERE / "fresh_process.py"), str(home)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    return home, done


def test_no_warning_and_no_draw_from_pythons_generator(answered):
    _, done = answered
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == "" and done.stdout == ""


@pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
def test_answers_are_equal_to_the_last_bit(answered, cls):
    folder = answered[0] / cls.__name__
    here, again = (np.load(folder / name, allow_pickle=False) for name in ("here.npy", "again.npy"))
    assert here.dtype == again.dtype and np.array_equal(here, again)
