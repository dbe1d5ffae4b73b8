"""Score a doctor on the programs: what it finds, what it raises for nothing, and whether it names the cause first.

    GRADUS_DATA=... python benchmarks/doctor/score.py [--only seen] [--jobs 2] [--limit N] [--resume]
    python benchmarks/doctor/score.py --command "python my_doctor.py {file}" --output my_doctor.json

Each program is examined by a command in a process of its own; the last JSON object that it prints holds `verdict`
("healthy" or "faulty") and `findings`, ranked, each with a `cause`. No answer (an error, no JSON, out of time) counts
against the doctor everywhere: a fault not found, an alarm on a healthy program. Seen and held-out programs are told
apart, and misses among the held-out ones are counted but not listed unless asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from recording import origin

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
RESULTS = HERE.parent / "results"
DOCTOR = HERE.parent.parent / "src" / "gradus" / "practice" / "doctor"
ASKED = "{python} -m gradus doctor {file} --json"
SLOW = 60.0  # seconds a program, on two cores
Row = dict[str, Any]
RATES = (
    "detection",
    "right_cause_first",
    "primary_cause_first",
    "right_cause_listed",
    "line_named",
    "false_alarms",
    "false_alarms_mended",
    "false_alarms_healthy",
    "no_answer",
)


def manifest(only: str) -> list[Row]:
    """Return the programs' rows, with `part` seen or held_out."""
    rows = []
    for part, folder in (("seen", PROGRAMS), ("held_out", PROGRAMS / "held_out")):
        if only in ("all", part):
            rows += [r | {"part": part} for r in json.loads((folder / "manifest.json").read_text("utf-8"))]
    return rows


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share of k in n, at 95 %."""
    if n == 0:
        return 0.0, 1.0
    p = k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(flags: Iterable[bool]) -> Row:
    """Return how many of how many, the share and its interval."""
    values = list(flags)
    low, high = wilson(sum(values), len(values))
    return {"k": sum(values), "n": len(values), "share": sum(values) / len(values) if values else None,
            "low": round(low, 4), "high": round(high, 4)}  # fmt: skip


def last_object(text: str) -> Row | None:
    """Return the last JSON object in a text that has a verdict."""
    decoder = json.JSONDecoder()
    for found in reversed(list(re.finditer(r"\{", text))):
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and "verdict" in value:
            return value
    return None


def ask(command: str, row: Row, limit: float) -> Row:
    """Run the doctor on one program."""
    path = PROGRAMS / row["file"]
    words = [w.format(python=sys.executable, file=path) for w in shlex.split(command)]
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = process.communicate(timeout=limit)
        trouble = ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        trouble = f"no answer in {limit:.0f} s"
    answer = None if trouble else last_object(out)
    if answer is None and not trouble:
        trouble = (err.strip().splitlines() or [f"exit {process.returncode}, no JSON"])[-1][:300]
    kept: Row = {"file": row["file"], "checksum": checksum(path), "seconds": round(time.perf_counter() - started, 2)}
    if answer is None:
        return kept | {"verdict": None, "causes": [], "trouble": trouble}
    findings = answer.get("findings", [])
    places = [json.dumps({k: f.get(k, "") for k in ("place", "line")}) for f in findings[:1]]
    return kept | {
        "verdict": answer["verdict"],
        "causes": [f.get("cause") for f in findings],
        "place": places[0] if places else "",
    }


def checksum(path: Path) -> str:
    """Short checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def fingerprint(command: str) -> str:
    """Checksum of the command and the doctor's source: answers of another doctor are not mixed with these."""
    total = hashlib.sha256(command.encode())
    for path in sorted(DOCTOR.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def right(row: Row, cause: str | None, strict: bool = False) -> bool:
    """Return whether a cause names what is wrong."""
    return cause is not None and (cause == row["cause"] or (not strict and cause in row["also_right"]))


def near(row: Row, answer: Row) -> bool | None:
    """Return whether the first finding names a line within two of the fault's; None where the fault has no line."""
    if row["line"] is None:
        return None
    numbers = [int(n) for n in re.findall(r"(?::|line\D{0,4})(\d+)", str(answer.get("place", "")))]
    return any(abs(n - row["line"]) <= 2 for n in numbers)


def summary(rows: list[Row], answers: dict[str, Row]) -> Row:
    """Return the rates of one part."""
    rows = [r for r in rows if r["file"] in answers]
    faulty = [r for r in rows if r["kind"] == "faulty"]
    of = {r["file"]: answers[r["file"]] for r in rows}
    first = {r["file"]: (of[r["file"]]["causes"] or [None])[0] for r in rows}

    def found(r: Row) -> bool:
        return of[r["file"]]["verdict"] == "faulty"

    def alarm(r: Row) -> bool:
        return of[r["file"]]["verdict"] != "healthy"

    def families(measure: Callable[[Row], bool], chosen: list[Row]) -> Row:
        names = sorted({r["family"] for r in chosen})
        return {name: share(measure(r) for r in chosen if r["family"] == name) for name in names}

    well = [r for r in rows if r["kind"] != "faulty"]
    seconds = [of[r["file"]]["seconds"] for r in rows]
    lines = [n for r in faulty if (n := near(r, of[r["file"]])) is not None]
    return {
        "programs": len(rows),
        "detection": share(found(r) for r in faulty),
        "right_cause_first": share(found(r) and right(r, first[r["file"]]) for r in faulty),
        "primary_cause_first": share(found(r) and right(r, first[r["file"]], strict=True) for r in faulty),
        "right_cause_listed": share(found(r) and any(right(r, c) for c in of[r["file"]]["causes"]) for r in faulty),
        "line_named": share(lines),
        "false_alarms": share(alarm(r) for r in well),
        "false_alarms_mended": share(alarm(r) for r in well if r["kind"] == "mended"),
        "false_alarms_healthy": share(alarm(r) for r in well if r["kind"] == "healthy"),
        "no_answer": share(of[r["file"]]["verdict"] is None for r in rows),
        "detection_by_family": families(found, faulty),
        "right_cause_first_by_family": families(lambda r: found(r) and right(r, first[r["file"]]), faulty),
        "false_alarms_by_family": families(alarm, well),
        "seconds": taken(seconds),
    }


def taken(seconds: list[float]) -> Row:
    """Return the median and the longest time, and how many programs took too long."""
    if not seconds:
        return {}
    return {"median": statistics.median(seconds), "most": max(seconds), "over_60": sum(s > SLOW for s in seconds)}


def misses(rows: list[Row], answers: dict[str, Row]) -> list[str]:
    """One line a program that was judged wrongly."""
    lines = []
    for row in rows:
        answer = answers.get(row["file"])
        if answer is None:
            continue
        said = ", ".join(map(str, answer["causes"][:3])) or answer.get("trouble", "") or "nothing"
        if row["kind"] != "faulty":
            if answer["verdict"] != "healthy":
                lines.append(f"false alarm  {row['file']} ({row['kind']}, {row['family']}): said {said}")
        elif answer["verdict"] != "faulty":
            lines.append(f"not found    {row['file']} ({row['cause']}): said {said}; {row['wrong']}")
        elif not right(row, (answer["causes"] or [None])[0]):
            lines.append(f"other cause  {row['file']} ({row['cause']}): said {said}; {row['wrong']}")
    return lines


def tell(name: str, part: Row) -> None:
    """Print a part's rates."""
    print(f"\n{name}: {part['programs']} programs")
    for key in RATES:
        s = part[key]
        if s["n"]:
            interval = f"{100 * s['low']:.1f}-{100 * s['high']:.1f}"
            print(f"  {key:<22}{s['k']:>4} of {s['n']:<4}{100 * s['share']:6.1f} %  ({interval})")
    for family, s in part["detection_by_family"].items():
        cause, alarms = part["right_cause_first_by_family"][family], part["false_alarms_by_family"].get(family)
        raised = f", raised for nothing {alarms['k']} of {alarms['n']}" if alarms else ""
        print(f"    {family:<22} found {s['k']} of {s['n']}, cause first {cause['k']}{raised}")
    if part["seconds"]:
        s = part["seconds"]
        print(f"  seconds a program: median {s['median']:.1f}, most {s['most']:.1f}, over 60 s: {s['over_60']}")


def options() -> argparse.Namespace:
    """Read the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=ASKED, help="what examines {file}")
    parser.add_argument("--only", choices=("seen", "held_out", "all"), default="all")
    parser.add_argument("--match", default="", help="files whose names contain this")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0, help="at most so many programs")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds a program")
    parser.add_argument("--resume", action="store_true", help="keep answers of the same doctor on the same programs")
    parser.add_argument("--show-held-out", action="store_true", help="list misses among the held-out programs too")
    parser.add_argument("--output", type=Path, default=RESULTS / "doctor_score.json")
    return parser.parse_args()


def main() -> None:
    """Ask the doctor about every program, and report."""
    given = options()
    rows = [r for r in manifest(given.only) if given.match in r["file"]]
    rows = rows[: given.limit] if given.limit else rows
    mark = fingerprint(given.command)
    answers: dict[str, Row] = {}
    if given.resume and given.output.exists():
        kept = json.loads(given.output.read_text("utf-8"))
        if kept.get("doctor") == mark:
            now = {r["file"]: checksum(PROGRAMS / r["file"]) for r in rows}
            whole = [a for a in kept["answers"] if a["verdict"] is not None]  # what gave no answer is asked again
            answers = {a["file"]: a for a in whole if now.get(a["file"]) == a["checksum"]}
    todo = [r for r in rows if r["file"] not in answers]
    with ThreadPoolExecutor(given.jobs) as pool:
        waiting = {pool.submit(ask, given.command, r, given.timeout): r for r in todo}
        for done, future in enumerate(as_completed(waiting), 1):
            answer = future.result()
            answers[answer["file"]] = answer
            print(f"\r{done} of {len(todo)}", end="", file=sys.stderr, flush=True)
            if done % 10 == 0 or done == len(todo):
                store(given, mark, rows, answers)
    store(given, mark, rows, answers)
    parts = report(rows, answers)
    for name, part in parts.items():
        tell(name, part)
    listed = [r for r in rows if r["part"] == "seen" or given.show_held_out]
    print("\n" + "\n".join(misses(listed, answers)))


def report(rows: list[Row], answers: dict[str, Row]) -> dict[str, Row]:
    """Return the rates of each part that has programs."""
    parts = {name: [r for r in rows if r["part"] == name] for name in ("seen", "held_out")}
    return {name: summary(chosen, answers) for name, chosen in [*parts.items(), ("all", rows)] if chosen}


def store(given: argparse.Namespace, mark: str, rows: list[Row], answers: dict[str, Row]) -> None:
    """Write the answers and rates so far."""
    command = "python benchmarks/doctor/score.py " + shlex.join(["--command", given.command, "--only", given.only])
    whole = origin("cpu", command) | {
        "doctor": mark,
        "jobs": given.jobs,
        "rates": report(rows, answers),
        "answers": [answers[r["file"]] for r in rows if r["file"] in answers],
    }
    beside = given.output.with_suffix(".part")
    beside.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    beside.replace(given.output)


if __name__ == "__main__":
    main()
