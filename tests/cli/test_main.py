"""The command as a person meets it: help, versions, errors in one sentence, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradus
from gradus.cli.main import run
from gradus.core.errors import DataError

SRC = Path(gradus.__file__).parents[1]


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradus", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC), **environment},
    )


@pytest.fixture
def raising(monkeypatch):
    """Make `gradus book` raise what the test hands over."""

    def arrange(error: BaseException) -> None:
        def fail(*_args, **_kwargs):
            raise error

        monkeypatch.setattr("gradus.cli.book.select", fail)

    return arrange


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gradus {gradus.__version__}\n"


def test_no_arguments_show_the_help(capsys):
    assert run([]) == 0
    bare = capsys.readouterr().out
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == bare
    for command in ("fit", "resume", "predict", "inspect", "runs", "config", "book", "check"):
        assert f"\n  {command} " in bare


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fti"], ["fti", "fit"]),
        (["fit"], ["source"]),
        (["fit", "digits", "--sed", "1"], ["--sed", "--seed"]),
        (["fit", "digits", "--seed", "one"], ["--seed", "integer"]),
        (["fit", "digits", "--seed", "-1"], ["--seed", "greater than or equal to 0"]),
        (["sample", "run", "-n", "0"], ["a valid -n, got '0'", "greater than or equal to 1"]),
        (["sample", "run", "-n0"], ["a valid -n, got '0'"]),
        (["fit", "digits", "--task", "clustering"], ["clustering", "classification"]),
        (["fit", "digits", "--set", "hidden"], ["--set name=value", "hidden"]),
        (["fit", "digits", "--set", "a=1", "--set", "a=2"], ["one value for a"]),
        (["fit", "digits", "--max-time", "0"], ["--max-time above 0"]),
        (["fit", "digits", "--max-time", "nan"], ["--max-time above 0"]),
        (["config", "MLPClasifier"], ["MLPClasifier", "did you mean 'MLPClassifier'?"]),
        (["book", "99"], ["99", "section"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_usage_is_one_sentence_and_exit_2(arguments, words, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_an_error_of_gradus_is_its_sentence(raising, capsys):
    raising(DataError("a table", "a picture\nof a table", "fit it as images"))
    assert run(["book"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: expected a table, got a picture of a table; fit it as images\n")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "/etc/x"), MemoryError()])
def test_refusals_of_the_system_are_one_sentence(error, raising, capsys):
    raising(error)
    assert run(["book"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "/etc/x" in err or "memory" in err


def test_a_fault_is_told_from_a_mistake(raising, capsys):
    raising(ZeroDivisionError("division by zero"))
    assert run(["book"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in err
    assert "Traceback" not in err


def test_debugging_shows_where(raising, monkeypatch):
    monkeypatch.setenv("GRADUS_DEBUG", "1")
    raising(ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError):
        run(["book"])


def test_an_interrupt_is_a_sentence_and_exit_130(raising, capsys):
    raising(KeyboardInterrupt())
    assert run(["book"]) == 130
    assert capsys.readouterr().err == "stopped: interrupted from the keyboard\n"


def test_a_reader_that_leaves_is_no_error(tmp_path):
    # far more text than a pipe holds, and a reader that takes one line
    script = (
        "import sys; from gradus.cli.main import run; from gradus.cli import book;"
        "entries = book.select(); book.select = lambda *a: entries * 400; sys.exit(run(['book']))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    writer.stdout.readline()
    writer.stdout.close()
    complaint = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(60) != 0
    assert complaint == ""


def test_the_process_exits_with_the_code():
    done = shell("book", "99")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_completion_knows_the_commands():
    done = shell(_GRADUS_COMPLETE="complete_bash", COMP_WORDS="gradus re", COMP_CWORD="1")
    assert done.stdout.split() == ["resume"]


def test_the_reference_of_every_command_is_complete():
    """Each option and argument says what it does."""
    import typer

    from gradus.cli.main import app

    group = typer.main.get_command(app)
    missing = [
        f"{name} {parameter.name}"
        for name, command in group.commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert missing == []


def test_every_command_that_answers_has_json():
    import typer

    from gradus.cli.main import app

    for command in typer.main.get_command(app).commands.values():
        assert "--json" in [o for p in command.params for o in p.opts], command.name
