"""`gradus graph` as a person uses it: runs, scripts, files, and what goes wrong."""

import json
import shutil
from pathlib import Path

import pytest

from clumsy import gradus, refused, tree

SCRIPT = """
import sys

import torch
from torch import nn

print("a script may talk")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(5, 3)


def with_loss():
    return *network(), lambda out: out.pow(2).mean()


def build(seed=0):
    torch.manual_seed(seed)
    X, y = torch.randn(50, 3), torch.randint(0, 2, (50,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=16)
    return {"network": network()[0], "loss": nn.CrossEntropyLoss(), "train": (X, y), "loader": loader}


def loaded():
    return {**build(), "train": build()["loader"]}


def objective():
    given = build()
    return {**given, "objective": lambda net, batch: nn.functional.cross_entropy(net(batch[0]), batch[1])}


def tensor():
    w = torch.ones(3, requires_grad=True)
    return (w * w).sum()


def engine():
    import numpy as np

    from gradus.foundations.graph import Variable

    return np.tanh(Variable([1.0, 2.0], "x")).sum()


def fails():
    return torch.ones(3, 4) @ torch.ones(3, 4)


def leaves():
    sys.exit(3)


def bare():
    return network()[0]


def number():
    return 3


def hangs():
    while True:
        pass


def dies():
    import os
    os._exit(4)


def writes():
    open("beside.txt", "w").write("mine")


def saves():
    torch.save({"a": 1}, "weights.pt")


def far():
    return torch.ones(2, device="cuda:7")


def breaks():
    import ctypes
    ctypes.string_at(0)


def needy(x):
    return x


def fails_later():
    class Late(nn.Module):
        def forward(self, x):
            raise KeyError("late")

    return Late(), torch.ones(2)
"""


def line(words):
    return f"line {SCRIPT[: SCRIPT.index(words)].count(chr(10)) + 1}"


@pytest.fixture
def script(here):
    path = Path("net.py")
    path.write_text(SCRIPT)
    return path


def facts(capsys, *arguments):
    code, out, _ = gradus(capsys, "graph", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_a_script_s_network_is_written_as_a_page(script, capsys):
    code, out, err = gradus(capsys, "graph", "net.py:network")
    assert code == 0 and err == ""  # what the script says goes nowhere
    assert out == "wrote graph.html: net.py:network, 3 operations; gradients are those of the sum of all outputs\n"
    assert Path("graph.html").read_text().startswith("<!doctype html>")
    assert tree(Path()) == ["graph.html", "net.py"]


def test_a_drawing_and_data_go_where_they_are_asked_to(script, capsys):
    assert gradus(capsys, "graph", "net.py:network", "--svg")[1].startswith("wrote graph.svg")
    assert Path("graph.svg").read_text().startswith("<svg")
    assert gradus(capsys, "graph", "net.py:network", "--out", "a.json")[0] == 0
    whole = json.loads(Path("a.json").read_text())
    assert [node["title"] for node in whole["nodes"] if node["kind"] == "operation"] == ["linear", "relu", "linear"]
    said = facts(capsys, "net.py:network", "--out", "b.svg")
    assert (said["out"], said["operations"]) == ("b.svg", 3)


@pytest.mark.parametrize(
    ("function", "last"),
    [
        ("with_loss", "mean"),
        ("build", "cross_entropy"),
        ("loaded", "cross_entropy"),
        ("objective", "cross_entropy"),
        ("tensor", "sum"),
        ("engine", "sum"),
    ],
)
def test_what_a_function_may_return(script, capsys, function, last):
    found = facts(capsys, f"net.py:{function}")
    assert found["nodes"][-1]["title"] == last
    assert found["nodes"][-1]["gradient"]["values"] == 1.0
    assert all(node["gradient"] for node in found["nodes"] if node["kind"] == "parameter")
    if function in ("build", "loaded", "objective"):
        assert found["nodes"][0]["value"]["shape"] == [8, 3]  # a few rows, not all


def test_build_is_meant_where_no_function_is_named(script, capsys):
    assert facts(capsys, "net.py")["title"] == "net.py:build"


def test_marks_are_shown(script, capsys):
    found = facts(capsys, "net.py:network", "--mark", "2=no bias needed", "--mark", "0.weight=too large")
    assert [g["mark"] for g in found["groups"]] == ["", "", "no bias needed"]
    assert [n["mark"] for n in found["nodes"] if n["mark"]] == ["too large"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["net.py:fails"],
            ["net.py to return from fails", f"RuntimeError at {line('@ torch')} of net.py", "multiplied"],
        ),
        (["net.py:leaves"], [f"leaves at {line('sys.exit')}", "remove the exit"]),
        (["net.py:fails_later"], ["run forwards and backwards", f"KeyError at {line('raise KeyError')} of net.py"]),
        (["net.py:bare"], ["a network without inputs", "return (network, inputs)"]),
        (["net.py:number"], ["net.py:number to return", f"got int ({line('return 3')} of net.py)"]),
        (["net.py:dies"], [f"leaves at {line('os._exit')}", "remove the exit"]),
        (["net.py:writes"], [f"'beside.txt' written at {line('open(')} of net.py"]),
        (["net.py:saves"], [f"'weights.pt' written at {line('torch.save')} of net.py"]),
        (["net.py:far"], [f"at {line('cuda:7')} of net.py"]),
        (["net.py:breaks"], [f"native code at {line('ctypes.string_at')} of net.py"]),
        (["net.py:needy"], ["without arguments", "x to be given"]),
        (["net.py:netwrk"], ["'netwrk'", "did you mean 'network'?"]),
        (["none.py:network"], ["script.py:function", "no such script"]),
        (["folder"], ["run"]),
        (["net.py:network", "--mark", "99=x"], ["'99'"]),
        (["net.py:network", "--mark", "5"], ["PLACE=TEXT"]),
        (["net.py:network", "--out", "a.png"], [".html, .svg or .json"]),
        (["net.py:network", "--out", "a.html", "--svg"], ["ends in .svg"]),
        (["net.py:network", "--out", "nowhere/a.html"], ["nowhere"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_sentence(script, capsys, arguments, words):
    Path("folder").mkdir()
    refused(capsys, "graph", *arguments, words=words, progress=True)
    assert sorted(tree(Path())) == ["folder", "net.py"]


def test_a_script_that_hangs_is_ended_and_its_line_told(script, capsys):
    said = refused(capsys, "graph", "net.py:hangs", "--max-time", "4", words=["within 4 s", "goes on and on at line"])
    assert any(f"{line(words)} of net.py" in said for words in ("while True", "pass\n\n\ndef dies"))
    assert tree(Path()) == ["net.py"]


def test_a_script_that_cannot_be_read_is_told_with_its_line(here, capsys):
    Path("bad.py").write_text("x = 1\ndef build(:\n")
    refused(capsys, "graph", "bad.py", words=["bad.py to be imported", "SyntaxError at line 2 of bad.py"])


def test_the_network_of_a_run_on_its_own_rows(finished, capsys):
    found = facts(capsys, "run")
    assert found["title"] == "TabularClassifier"
    paths = [g["path"] for g in found["groups"]]
    assert "head" in " ".join(paths)
    trained = [n for n in found["nodes"] if n["kind"] == "parameter"]
    assert trained and all(n["gradient"] for n in trained)
    assert found["nodes"][-1]["value"]["shape"] == [] and 0 < found["nodes"][-1]["value"]["mean"] < 20
    assert gradus(capsys, "graph", "run", "--out", "run.html")[0] == 0


def test_a_run_without_its_network_or_data_says_so(finished, capsys):
    Path("a.csv").rename("b.csv")
    refused(capsys, "graph", "run", words=["a.csv"], progress=True)
    shutil.rmtree("run/model")
    refused(capsys, "graph", "run", words=["a network in run/model"], progress=True)


@pytest.mark.parametrize("kind", ["text", "series"])
def test_networks_of_texts_and_series_are_drawn(here, capsys, kind):
    if kind == "text":
        lines = [f"the {n}th line of the song has {n * n} words in it" for n in range(120)]
        Path("a.txt").write_text("\n".join(lines))
        extra = ["--set", "max_steps=3", "--set", "width=16", "--set", "context=16", "--set", "n_threads=1"]
    else:
        rows = [f"2024-{1 + n // 28:02d}-{1 + n % 28:02d},{n % 7 + n / 50}" for n in range(140)]
        Path("a.csv").write_text("day,value\n" + "\n".join(rows))
        extra = ["--set", "max_epochs=1", "--set", "width=8", "--set", "n_threads=1"]
    source = "a.txt" if kind == "text" else "a.csv"
    code, _, err = gradus(capsys, "fit", source, "--quiet", "--out", "run", *extra)
    assert code == 0, err
    found = facts(capsys, "run")
    assert len([n for n in found["nodes"] if n["kind"] == "operation"]) > 5
    assert any(n["gradient"] for n in found["nodes"] if n["kind"] == "parameter")
