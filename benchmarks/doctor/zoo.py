"""The healthy zoo: networks that Gradus itself trains on real data, and what the doctor says of them.

    GRADUS_DATA=... python benchmarks/doctor/zoo.py [--only digits] [--resume] [--max-time 25]

Each row is one `gradus fit` with a small budget, in a folder of its own, and one `gradus doctor` of that run. A run
counts as healthy if its network beats the trivial answer on validation data by the run's own metric; any finding in
the verdict is then a false alarm. Others are listed, and count for nothing. Kept in results/doctor_zoo.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from recording import origin

RESULT = Path(__file__).resolve().parent.parent / "results" / "doctor_zoo.json"
DATA = Path(os.environ.get("GRADUS_DATA", "data"))
Row = dict[str, Any]

# name: the source (a named data set, a file below GRADUS_DATA, or a slice made below), and what is asked of the fit
ZOO: dict[str, tuple[str, Row]] = {
    "digits": ("digits", {"settings": {"max_epochs": "8"}}),
    "iris": ("iris", {}),
    "wine": ("wine", {}),
    "breast cancer": ("breast_cancer", {}),
    "diabetes": ("diabetes", {}),
    "fashion, 2000 pictures": ("slice:fashion_mnist", {"settings": {"max_epochs": "5"}}),
    "mnist, 2000 pictures": ("slice:mnist", {"settings": {"max_epochs": "5"}}),
    "optdigits": ("slice:optdigits", {"settings": {"max_epochs": "5"}}),
    "spambase": ("tabular/Spambase.csv.gz", {"target": "type"}),
    "vowel": ("tabular/Vowel.csv.gz", {"target": "Class"}),
    "satellite": ("tabular/Satellite.csv.gz", {"target": "classes"}),
    "ionosphere": ("tabular/Ionosphere.csv.gz", {"target": "Class"}),
    "glass": ("tabular/Glass.csv.gz", {"target": "Type"}),
    "diabetes of the Pima": ("tabular/PimaIndiansDiabetes2.csv.gz", {"target": "diabetes"}),
    "credit": ("tabular/credit_data.csv.gz", {"target": "Status"}),
    "churn": ("tabular/mlc_churn.csv.gz", {"target": "churn"}),
    "penguins": ("tabular/penguins.csv.gz", {"target": "species"}),
    "caravan, few buy": ("tabular/ticdata_caravan.csv.gz", {"target": "CARAVAN", "settings": {"max_epochs": "20"}}),
    "boston, prices": ("slice:boston", {"target": "cmedv"}),
    "servo, numbers": ("tabular/Servo.csv.gz", {"target": "Class"}),
    "meats, spectra": ("tabular/meats.csv.gz", {"target": "protein"}),
    "ames, prices": ("tabular/ames.csv.gz", {"target": "Sale_Price", "settings": {"max_epochs": "30"}}),
    "penguins, mass": ("tabular/penguins.csv.gz", {"target": "body_mass_g"}),
    "sentiment of reviews": ("slice:sentiment", {"target": "tone", "settings": {"max_epochs": "8"}}),
    "rating of reviews": ("slice:rating", {"target": "rating", "settings": {"max_epochs": "8"}}),
    "gender of names": ("slice:names", {"target": "gender", "text": "name", "settings": {"max_epochs": "8"}}),
    "shakespeare": ("slice:shakespeare", {"settings": {"max_steps": "300", "context": "64"}}),
    "co2, weekly": ("timeseries/co2.csv.gz", {"settings": {"max_epochs": "8"}}),
    "a river's flow": ("timeseries/nile.csv.gz", {"settings": {"max_epochs": "20"}}),
    "digits, compressed": ("digits", {"task": "compress", "settings": {"max_epochs": "10"}}),
    "digits, their density": ("digits", {"task": "density", "settings": {"max_epochs": "5"}}),
    "digits, generated": ("digits", {"task": "generate", "settings": {"max_epochs": "10"}}),
    "wine, its density": ("wine", {"task": "density"}),
    "breast cancer, compressed": ("breast_cancer", {"task": "compress"}),
}


def source_of(name: str, folder: Path) -> str:
    """Return what `gradus fit` is given: a name, a file, or a slice that is written into the folder."""
    _, colon, what = name.partition(":")
    if not colon:
        return str(DATA / name) if "/" in name else name
    rng = np.random.default_rng(0)
    if what == "shakespeare":
        text = gzip.open(DATA / "text" / "tinyshakespeare.txt.gz", "rt", encoding="utf-8").read()
        (folder / "verse.txt").write_text(text[:120_000], "utf-8")
        return str(folder / "verse.txt")
    if what in ("sentiment", "rating", "names"):
        return str(texts(what, folder, rng))
    if what == "boston":  # medv is the target before it was corrected
        import pandas as pd

        frame = pd.read_csv(DATA / "tabular" / "BostonHousing2.csv.gz").drop(columns=["medv", "town", "tract"])
        frame.to_csv(folder / "boston.csv", index=False)
        return str(folder / "boston.csv")
    with np.load(DATA / "vision" / f"{what}.npz") as found:
        arrays = {key: found[key] for key in found.files}
    images = next(a for a in arrays.values() if a.ndim >= 3 or (a.ndim == 2 and a.shape[1] == 64))
    labels = next(a for a in arrays.values() if a.ndim == 1 and len(a) == len(images))
    rows = rng.permutation(len(images))[:2000]
    square = images.reshape(len(images), 8, 8) if images.ndim == 2 else images
    np.savez(folder / f"{what}.npz", X=square[rows].astype(np.uint8), y=labels[rows].astype(np.int64))
    return str(folder / f"{what}.npz")


def texts(what: str, folder: Path, rng: np.random.Generator) -> Path:
    """Write a table of texts with a target."""
    import pandas as pd

    if what == "names":
        frame = pd.read_csv(DATA / "text" / "first_names_gender_country.tsv.gz", sep="\t", keep_default_na=False)
        frame = frame[frame["gender"].isin(["M", "F"])][["name", "gender"]].drop_duplicates("name")
    else:
        frame = pd.read_csv(DATA / "text" / "sentiment_vader_4domains.tsv.gz", sep="\t", quoting=3)
        rated = frame.columns[frame.columns.str.startswith("mean_rating")][0]
        frame = frame.dropna()
        frame["tone"] = np.where(frame[rated] > 0, "good", "bad")
        kept = "tone" if what == "sentiment" else rated
        frame = frame[["text", kept]].rename(columns={rated: "rating"})
    frame = frame.iloc[rng.permutation(len(frame))[:3000]]
    frame.to_csv(folder / f"{what}.csv", index=False)
    return folder / f"{what}.csv"


def examined(name: str, max_time: float) -> Row:
    """Fit one run, examine it, and return what was said."""
    from gradus.runs.doctor import examine_run
    from gradus.runs.job import fit_source

    source, asked = ZOO[name]
    row: Row = {"name": name, "source": source, **{k: v for k, v in asked.items() if k != "settings"}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        begin = time.perf_counter()
        try:
            run = fit_source(source_of(source, folder), out=folder / "run", **asked)
            record = run.read_record()
            row["fit_seconds"] = round(time.perf_counter() - begin, 1)
            known = {r.kind: r.valid.value for r in reversed(record.ladder) if r.valid is not None}
            metric = record.metric
            row |= {"task": record.task, "estimator": record.estimator, "metric": metric.name if metric else None}
            row |= {kind: round(value, 4) for kind, value in known.items()}
            row["healthy"] = beats(known, higher=bool(metric and metric.higher_is_better))
            begin = time.perf_counter()
            found = examine_run(run.path, max_time=max_time)
        except Exception as error:  # a run that cannot be examined is a result too
            trace = traceback.extract_tb(error.__traceback__)[-1]
            words = (str(error).splitlines() or [""])[0]
            return row | {"error": f"{type(error).__name__} at {Path(trace.filename).name}:{trace.lineno}: {words}"}
    row |= {"seconds": round(time.perf_counter() - begin, 1), "verdict": found.verdict}
    row["findings"] = [
        {"cause": f.cause, "place": f.place, "confidence": round(f.confidence, 2), "evidence": f.evidence}
        for f in found.findings
    ]
    return row


def beats(known: dict[str, float], *, higher: bool) -> bool | None:
    """Whether the network is better than the trivial answer; None where one of them is absent."""
    if "network" not in known or "trivial" not in known:
        return None
    return known["network"] > known["trivial"] if higher else known["network"] < known["trivial"]


def rates(rows: list[Row]) -> Row:
    """Return how many healthy runs were called faulty, and by which rule."""
    told = [r for r in rows if r.get("healthy") and "verdict" in r]
    alarms = [r for r in told if r["verdict"] == "faulty"]
    rules = Counter(f["cause"] for r in told for f in r["findings"] if f["confidence"] >= 0.5)
    return {
        "healthy": len(told), "alarms": len(alarms), "share": round(len(alarms) / len(told), 4) if told else None,
        "by_rule": {cause: {"k": k, "share": round(k / len(told), 4)} for cause, k in rules.most_common()},
        "alarmed": [r["name"] for r in alarms], "errors": [r["name"] for r in rows if "error" in r],
        "not_healthy": [r["name"] for r in rows if "verdict" in r and not r.get("healthy")],
    }  # fmt: skip


def main() -> None:
    """Read the command, fit, examine, keep and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that contain this, kept ones too")
    parser.add_argument("--max-time", type=float, default=25.0, help="seconds that the doctor may take")
    parser.add_argument("--resume", action="store_true", help="keep what was found before")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    kept: dict[str, Row] = {}
    if given.resume and given.output.exists():
        kept = {r["name"]: r for r in json.loads(given.output.read_text("utf-8"))["runs"] if "error" not in r}
    for name in (n for n in ZOO if given.only in n and (given.only or n not in kept)):
        kept[name] = row = examined(name, given.max_time)
        said = row.get("verdict") or row.get("error")
        causes = ", ".join(f"{f['cause']} {f['confidence']}" for f in row.get("findings", []))
        print(f"{name:<28}{said:<10}{'' if row.get('healthy') else ' (not healthy) '}{causes}", flush=True)
        rows = [kept[n] for n in ZOO if n in kept]
        whole = origin("cpu", "python benchmarks/doctor/zoo.py") | {"rates": rates(rows), "runs": rows}
        given.output.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    print(json.dumps(rates([kept[n] for n in ZOO if n in kept]), indent=1))


if __name__ == "__main__":
    main()
