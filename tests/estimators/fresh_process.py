"""Run as a program: load saved estimators, answer as they did elsewhere, and watch what a fit leaves behind.

Not a test itself, but what test_fresh_process.py starts: no beartype, no pytest, nothing imported before.
"""

import random
import sys
import warnings
from pathlib import Path

import numpy as np


def answer_again(home):
    from gradus.estimators.persistence import load

    for folder in sorted(home.iterdir()):
        model = load(folder)
        X = np.load(folder / "X.npy", allow_pickle=False)
        call = model.predict_proba if hasattr(model, "predict_proba") else model.predict
        np.save(folder / "again.npy", call(X))


def fit_and_compare_generators():
    from estimators.cases import ESTIMATORS, data_for, small

    random.seed(4)
    before = random.getstate()
    for cls in ESTIMATORS:
        X, y = data_for(cls)
        small(cls, dropout=0.3, random_state=None).fit(X, y).predict(X)
        if random.getstate() != before:
            sys.exit(f"{cls.__name__} moved Python's random generator")


if __name__ == "__main__":
    warnings.simplefilter("error")
    answer_again(Path(sys.argv[1]))
    fit_and_compare_generators()
