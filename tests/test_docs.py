"""What the documentation shows is run: Python blocks, `gradus` commands, and the examples in docstrings.

A page is one test in a folder of its own; its blocks share variables and files, as a reader's would.
"""

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((SRC / "gradus").rglob("*.py"))
    if path.name != "__main__.py"
]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Commands that set a machine up; everything else after a prompt must be gradus.
NOT_RUN = {"make", "pip", "uv", "git", "cd", "python", "source"}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path) -> list[tuple[str, str, int]]:
    text = page.read_text("utf-8")
    return [(m[1], m[2], text[: m.start()].count("\n") + 2) for m in FENCE.finditer(text)]


def commands(body: str) -> list[list[str]]:
    """The words of each line after a prompt; a backslash joins lines."""
    lines = body.replace("\\\n", " ").splitlines()
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


def run_python(body: str, variables: dict, where: str, line: int) -> None:
    if body.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(body, variables, where, where, line)
        said = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(test, out=said.write, clear_globs=False)
        variables.update(test.globs)
        assert runner.failures == 0, said.getvalue()
        return
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile("\n" * (line - 1) + body, where, "exec"), variables)


def run_command(words: list[str], where: str) -> None:
    assert words[0] == "gradus" or words[0] in NOT_RUN, f"{where}: {words[0]} is no command a reader has here"
    if words[0] != "gradus":
        return
    from gradus.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words[1:])
    assert code == 0, f"{where}: {shlex.join(words)}\n{err.getvalue()}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables: dict = {"__name__": "page"}
    for language, body, line in blocks(page):
        where = f"{page.name}:{line}"
        if language == "python":
            run_python(body, variables, where, line)
        elif language == "console":
            assert commands(body), f"{where}: a console block without a prompt"
            for words in commands(body):
                run_command(words, where)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_are_in_blocks_that_run(page):
    """A shell block that is not run could show anything."""
    for language, body, line in blocks(page):
        assert language in {"python", "console", "text", "toml", "json"}, f"{page.name}:{line} is {language!r}"
        if language == "text":
            assert not re.search(r"^\$? ?gradus ", body, re.MULTILINE), f"{page.name}:{line} hides a command"


class Finder(doctest.DocTestFinder):
    """Finds the examples of decorated functions too: the shape checks of the tests wrap every one."""

    def _from_module(self, module, object):
        unwrapped = inspect.unwrap(object) if callable(object) else object
        if getattr(unwrapped, "__module__", None) == module.__name__:
            return True
        return super()._from_module(module, object)


def written_examples(module) -> int:
    """How many examples stand in the docstrings of a file."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    return sum(len(doctest.DocTestParser().get_examples(text)) for text in texts)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    tests = {test.name: test for test in Finder().find(module, name)}.values()
    assert sum(len(test.examples) for test in tests) == written_examples(module)
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in tests:
        runner.run(test, out=said.write)
    assert runner.failures == 0, said.getvalue()


def test_a_wrong_page_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="Expected"):
        run_python(">>> 1 + 1\n3\n", {}, "page", 1)
    with pytest.raises(ZeroDivisionError):
        run_python("1 / 0\n", {}, "page", 1)
    with pytest.raises(AssertionError, match="no command"):
        run_command(["rm", "x"], "page")
    with pytest.raises(AssertionError, match="book 99"):
        run_command(["gradus", "book", "99"], "page")
    assert commands("$ gradus fit a.csv \\\n    --target b  # why\noutput\n$ make demo\n") == [
        ["gradus", "fit", "a.csv", "--target", "b"],
        ["make", "demo"],
    ]
