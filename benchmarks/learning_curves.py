"""How often the interval of a learning curve, drawn from a part of the rows, covers what all of them give.

    python benchmarks/learning_curves.py [--out results/learning_curves.json]

Twelve pairs of model and data (embedded in scikit-learn), several splits each. Errors are measured on rows held out, on
nested subsets up to half of the training rows and on all of them; a law is fitted to the former and judged by the
latter.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from gradus.practice.learning_curve import fit_power_law, learning_curve

LEVELS = (0.5, 0.7, 0.9)
PAIRS = {
    "digits, naive Bayes": (GaussianNB(var_smoothing=1e-2), load_digits),
    "digits, tree": (DecisionTreeClassifier(), load_digits),
    "digits, kernel": (SVC(), load_digits),
    "digits, logistic": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), load_digits),
    "cancer, neighbours": (make_pipeline(StandardScaler(), KNeighborsClassifier(5)), load_breast_cancer),
    "cancer, tree": (DecisionTreeClassifier(), load_breast_cancer),
    "cancer, naive Bayes": (GaussianNB(), load_breast_cancer),
    "cancer, kernel": (make_pipeline(StandardScaler(), SVC()), load_breast_cancer),
    "diabetes, ridge": (Ridge(), load_diabetes),
    "diabetes, neighbours": (KNeighborsRegressor(8), load_diabetes),
    "wine, neighbours": (make_pipeline(StandardScaler(), KNeighborsClassifier(5)), load_wine),
    "wine, naive Bayes": (GaussianNB(), load_wine),
}


def measured(splits: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return sizes and errors of each pair, one entry a split."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, (estimator, load) in PAIRS.items():
        X, y = load(return_X_y=True)
        rows = len(y) - int(np.ceil(0.25 * len(y)))
        sizes = np.unique(np.geomspace(max(10, rows / 32), rows // 2, 7).round().astype(int)).tolist()
        for split in range(splits):
            curve = learning_curve(estimator, X, y, sizes=[*sizes, rows], repeats=8, random_state=100 * split)
            found.setdefault(name, []).append((curve.sizes, curve.errors))
        sys.stderr.write(f"{name}\n")
    return found


def main() -> None:
    """Measure, and write the shares covered."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--splits", type=int, default=2)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    curves = measured(asked.splits)
    rows, hits = [], {(left, level): [] for left in (1, 2) for level in LEVELS}
    for name, runs in curves.items():
        for sizes, errors in runs:
            truth = float(errors[:, -1].mean())
            for left in (1, 2):
                law = fit_power_law(sizes[:-left], errors[:, :-left])
                for level in LEVELS:
                    low, high = law.interval(sizes[-1], level)
                    hits[left, level].append(low <= truth <= high)
                    if level == 0.9:
                        told = {"low": round(low, 4), "high": round(high, 4), "came": round(truth, 4)}
                        rows.append({"pair": name, "rows": int(sizes[-1 - left]), "of": int(sizes[-1])} | told)
    found = {
        "covered": [
            {"from": "half" if left == 1 else "three tenths", "level": level, "share": round(float(np.mean(hit)), 3),
             "of": len(hit)}
            for (left, level), hit in hits.items()
        ],
        "curves": rows, "machine": platform.platform(), "scikit-learn": sklearn.__version__,
        "command": "python benchmarks/learning_curves.py",
    }  # fmt: skip
    text = json.dumps(found, indent=1) + "\n"
    if asked.out is None:
        sys.stdout.write(text)
    else:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
