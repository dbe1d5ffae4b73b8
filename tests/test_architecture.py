"""The order of the rooms, and what no file of the package may do, read from the syntax trees."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted((SRC / "gradus").rglob("*.py"))

# What each room stands on directly; whatever those stand on is allowed too.
STANDS_ON = {
    "core": (),
    "catalog": (),
    "foundations": ("core",),
    "data": ("core",),
    "networks": ("foundations",),
    "training": ("networks", "data"),
    "estimators": ("training", "catalog"),
    "applications": ("estimators",),
    "research": ("estimators",),
    "practice": ("applications", "research"),
    "runs": ("practice",),
    "deploy": ("runs",),
    "cli": ("deploy",),
    "studio": ("deploy",),
    "path": ("deploy",),
    "__init__": ("catalog",),
    "__main__": ("cli",),
}
HEAVY = {"torch", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "plotly", "jinja2", "PIL", "safetensors"}
PICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


def below(room: str) -> set[str]:
    found = {room}
    for lower in STANDS_ON[room]:
        found |= below(lower)
    return found


def imported(tree: ast.AST, package: tuple[str, ...]) -> list[tuple[int, str]]:
    """Every module a file imports, those inside functions included, with its line."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from gradus import data` names a room as much as `import gradus.data` does
            names += [(node.lineno, f"{base}.{alias.name}" if base == "gradus" else base) for alias in node.names]
    return names


def out_of_order(source: str, path: str) -> list[str]:
    """Imports of rooms that do not lie below the file's own."""
    parts = Path(path).with_suffix("").parts
    room = parts[1]
    allowed = below(room) | {"__version__"}
    wrong = []
    for line, name in imported(ast.parse(source), parts[:-1]):
        target = name.split(".")
        if target[0] == "gradus" and len(target) > 1 and target[1] not in allowed:
            wrong.append(f"{path}:{line} {room} imports {name}")
    return wrong


def forbidden(source: str, path: str) -> list[str]:
    """Pickles in every guise, and prints."""
    wrong = []
    tree = ast.parse(source)
    wrong += [f"{path}:{line} imports {n}" for line, n in imported(tree, ("gradus",)) if n.split(".")[0] in PICKLERS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        pickled = called in {"torch.save", "torch.load", "joblib.dump", "joblib.load", "torch.jit.load"}
        pickled |= called.endswith(("read_pickle", "to_pickle"))
        # both default to reading or writing object arrays as pickles in one release of NumPy or another
        pickled |= (
            called in {"np.load", "np.save", "numpy.load", "numpy.save"} and keywords.get("allow_pickle") != "False"
        )
        if pickled:
            wrong.append(f"{path}:{node.lineno} {called}")
        if called == "print":
            wrong.append(f"{path}:{node.lineno} prints")
    return wrong


def every(check) -> list[str]:
    return [line for file in FILES for line in check(file.read_text("utf-8"), str(file.relative_to(SRC)))]


def test_every_room_is_in_the_order():
    rooms = {p.stem if p.is_file() else p.name for p in (SRC / "gradus").iterdir() if p.suffix == ".py" or p.is_dir()}
    assert rooms - {"__pycache__"} <= set(STANDS_ON)


def test_imports_run_one_way():
    assert every(out_of_order) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gradus/core/x.py", "def f():\n    from gradus.training import loop"),
        ("gradus/data/x.py", "import gradus.networks.mlp"),
        ("gradus/applications/x.py", "from gradus.research import rbm"),
        ("gradus/applications/x.py", "from gradus import practice"),
        ("gradus/estimators/x.py", "from ..runs.job import fit_source"),
        ("gradus/studio/x.py", "from gradus import cli"),
    ],
)
def test_the_check_sees_a_wrong_import(path, source):
    assert len(out_of_order(source, path)) == 1


def test_the_check_allows_the_rooms_below():
    source = "from gradus.core.errors import GradusError\nfrom gradus import __version__\nfrom . import x\n"
    assert out_of_order(source, "gradus/runs/x.py") == []


def test_no_pickle_and_no_print():
    assert every(forbidden) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from cloudpickle import dumps",
        "torch.save(x, p)",
        "joblib.dump(x, p)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "frame.to_pickle(p)",
        "print(1)",
    ],
)
def test_the_check_sees_pickle_and_print(source):
    assert len(forbidden(source, "gradus/core/x.py")) == 1


def test_files_stay_readable():
    assert [f"{f}: {n}" for f in FILES if (n := len(f.read_text("utf-8").splitlines())) > 600] == []


@pytest.mark.parametrize(
    "arguments",
    [None, ["--help"], ["--version"], ["fit", "--help"], ["book"], ["book", "--json"]],
    ids=lambda a: "import" if a is None else " ".join(a),
)
def test_starting_loads_nothing_heavy(arguments):
    act = "" if arguments is None else f"from gradus.cli.main import run; code = run({arguments!r}); assert code == 0;"
    code = f"import gradus, sys; {act} import json; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stderr)}
    assert loaded & HEAVY == set()
    if arguments is None:
        assert "typer" not in loaded
    elif arguments[0].startswith("-"):
        assert "rich" not in loaded  # drawing costs more than all the rest of the help
