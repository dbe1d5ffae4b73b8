"""Methods of Part III beside other libraries: the same result, in how much less time.

Every race has two sides or more, fitted in turns in one process, at the libraries' own number of threads and again on
one. What each side reached is measured outside the clock and compared first; a side that reached less gets no ratio.

A room adds its races as a module ``benchmarks/research_<room>.py`` with a table ``RACES: dict[str, Callable[[bool],
Race]]``: a name, and a function that gets ``quick`` (a reduced size, to try the script) and returns a `Race`. The side
called ``gradus`` is ours. Run on an idle machine with GRADUS_DATA set:
``python benchmarks/research.py --room linear_factors``. Every race is stored as soon as it is measured, in
``benchmarks/results/research_<room>.json``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ROOMS = tuple(sorted(path.stem.removeprefix("research_") for path in HERE.glob("research_*.py")))
OURS = "gradus"
# As in trainer.py: the peers get the kernels and threads they choose by themselves.
CLEARED = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
)

Qualities = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    Attributes
    ----------
    label : str
        Library, class and the settings that matter.
    fit : callable
        ``seed -> fitted``; all of it is on the clock.
    package : str
        Distribution whose version is recorded.
    """

    label: str
    fit: Callable[[int], Any]
    package: str = "scikit-learn"


@dataclass(frozen=True)
class Race:
    """Equal work for several sides.

    Attributes
    ----------
    title, data : str
        What is done, and on what.
    sides : dict of Side
        ``gradus`` and its peers.
    quality : callable
        ``fitted -> numbers``, off the clock.
    worse : callable
        ``(ours, theirs) -> reason`` of the medians of `quality`: why our result is not as good as theirs, or ``""``.
    targets : dict
        The least ratio (their time over ours) asked for, by the peer's name.
    note : str
        What a reader should know: what bounds the peer, for example.
    """

    title: str
    data: str
    sides: dict[str, Side]
    quality: Callable[[Any], dict[str, float]]
    worse: Callable[[Mapping[str, float], Mapping[str, float]], str]
    targets: dict[str, float] = field(default_factory=dict)
    note: str = ""


def fitted(side: Side, threads: str, seed: int) -> tuple[Any, float]:
    """Fit once; return what was fitted and the seconds it took."""
    from trainer import using

    gc.collect()
    with warnings.catch_warnings(), using(threads):
        warnings.simplefilter("ignore")  # peers warn where they stop at their number of iterations
        start = time.perf_counter()
        found = side.fit(seed)
        return found, time.perf_counter() - start


def raced(race: Race, threads: str, rounds: int) -> dict[str, Any]:
    """Let the sides take turns, each round beginning with another one; qualities first, then ratios."""
    names = list(race.sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    reached: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found, took = fitted(race.sides[name], threads, turn)
            seconds[name].append(took)
            reached[name].append(race.quality(found))
            print(f"    {threads:>7} round {turn + 1}: {name:28} {took:9.3f} s  {reached[name][-1]}", file=sys.stderr)
    quality = {name: {key: median(row[key] for row in rows) for key in rows[0]} for name, rows in reached.items()}
    return {"threads": threads, "quality": quality, **compared(race, seconds, quality)}


def compared(race: Race, seconds: Mapping[str, list[float]], quality: Qualities) -> dict[str, Any]:
    """Return the median seconds, and their time over ours, round by round, where ours is as good."""
    ratios: dict[str, Any] = {}
    for name in seconds.keys() - {OURS}:
        reason = race.worse(quality[OURS], quality[name])
        if reason:
            ratios[name] = {"not comparable": reason}
            continue
        each = sorted(theirs / ours for ours, theirs in zip(seconds[OURS], seconds[name], strict=True))
        ratios[name] = {key: round(float(value), 3) for key, value in _spread(each).items()}
        if name in race.targets:
            ratios[name] |= {"target": race.targets[name], "reached": bool(median(each) >= race.targets[name])}
    return {
        "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "median_seconds": {name: round(median(values), 4) for name, values in seconds.items()},
        "ratio": ratios,
    }


def _spread(each: list[float]) -> dict[str, float]:
    return {"median": median(each), "min": each[0], "max": each[-1]}


def measured(make: Callable[[bool], Race], options: argparse.Namespace) -> dict[str, Any]:
    """Prepare and run one race; a failure is part of the record."""
    from recording import origin

    command = f"python benchmarks/research.py {' '.join(sys.argv[1:])}"
    try:
        race = make(options.quick)
        threads = ("default", "1") if options.threads == "both" else (options.threads,)
        rows = [raced(race, count, options.rounds) for count in threads]
    except Exception as error:
        traceback.print_exc()
        return {**origin("cpu", command), "error": f"{type(error).__name__}: {error}"[:500]}
    sides = {name: {"label": side.label, "package": side.package} for name, side in race.sides.items()}
    about = {"title": race.title, "data": race.data, "note": race.note, "sides": sides, "rounds": options.rounds}
    return {**origin("cpu", command), **about, "rows": rows}


def show(name: str, record: Mapping[str, Any]) -> None:
    """Print one race, what was reached before how fast."""
    print(f"\n({name}) {record.get('title', record.get('error'))}")
    for row in record.get("rows", ()):
        for side, quality in row["quality"].items():
            reached = ", ".join(f"{key} {value:.6g}" for key, value in quality.items())
            ratio = row["ratio"].get(side, "")
            print(
                f"    threads {row['threads']:>7}  {side:28} {row['median_seconds'][side]:9.3f} s  {reached}  {ratio}"
            )


def main() -> None:
    """Run the races asked for and store each at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", choices=ROOMS, required=True)
    parser.add_argument("--races", nargs="+", help="names in the room's RACES; all by default")
    parser.add_argument("--threads", choices=("default", "1", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round at a reduced size; stores nothing")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    for name in CLEARED:
        os.environ.pop(name, None)
    if options.quick:
        options.rounds, options.threads = 1, "1"
    from recording import load, store

    races = importlib.import_module(f"research_{options.room}").RACES
    names = options.races or list(races)
    unknown = sorted(set(names) - set(races))
    if unknown:
        parser.error(f"expected races among {', '.join(races)}, got {', '.join(unknown)}")
    out = options.out or HERE / "results" / f"research_{options.room}.json"
    for name in names:
        record = measured(races[name], options)
        show(name, record)
        if not options.quick:
            stored = load(out)
            stored.setdefault("races", {})[name] = record
            store(out, stored)


if __name__ == "__main__":
    main()
