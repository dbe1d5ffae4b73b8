import io
import re

import pytest
from rich.console import Console

from gradus.training import loop
from gradus.training.progress import ProgressBar
from training.small import Crash, crash_at, measured, rows, trainer


def terminal(width=160):
    return Console(force_terminal=True, file=io.StringIO(), width=width, color_system=None)


def drawn(console):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)


def test_a_terminal_shows_loss_metric_speed_and_time_left():
    console = terminal()
    trained = trainer(evaluate=measured(rows(20, 1)), callbacks=[ProgressBar("digits", console)], max_epochs=5)
    trained.run()
    text, row = drawn(console), trained.history[-1]
    assert "digits" in text and "epoch 6/5" not in text
    assert f"loss {row['loss']:.4g}" in text
    assert f"valid_loss {row['valid_loss']:.4g}" in text and f"valid_score {row['valid_score']:.4g}" in text
    assert re.search(r"[\d,]+ steps/s", text)
    assert "0 s left at most" in text


def test_the_time_left_follows_speed_and_budgets():
    seen = []

    class Watched(ProgressBar):
        def __call__(self, trained, event):
            super().__call__(trained, event)
            if event == "tick" and trained.step == 4:
                trained.elapsed += 4.0 - trained.seconds  # 4 steps in 4 seconds, of 400
                super().__call__(trained, event)
                seen.append(dict(self._bar.tasks[0].fields))
                trained.finished = "enough"

    for settings, left in [({"max_epochs": 100}, "0:06:36"), ({"max_epochs": 10}, "36 s"), ({"max_steps": 14}, "10 s")]:
        trainer(callbacks=[Watched(console=terminal())], **{"max_epochs": 100, **settings}).run()
        assert seen[-1]["left"] == f"{left} left at most" and seen[-1]["speed"] == "1 steps/s"
    trainer(callbacks=[Watched(console=terminal())], max_epochs=100, max_time=9.0).run()
    assert seen[-1]["left"] == "5 s left at most"


def test_no_terminal_no_output():
    console = Console(file=io.StringIO(), width=100)
    trainer(callbacks=[ProgressBar(console=console)]).run()
    assert console.file.getvalue() == ""


def test_standard_error_that_is_no_terminal_stays_empty(capfd):
    trainer(callbacks=[ProgressBar()]).run()
    assert capfd.readouterr() == ("", "")


def test_the_bar_is_closed_and_the_cursor_comes_back_after_an_error():
    console = terminal()
    bar = ProgressBar(console=console)
    with pytest.raises(Crash):
        trainer(callbacks=[bar, crash_at(6)]).run()
    assert bar._bar is None
    text = console.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # shown after it was hidden


def test_training_is_the_same_with_and_without_a_bar():
    with_bar, without = trainer(callbacks=[ProgressBar(console=terminal())]), trainer()
    with_bar.run()
    without.run()
    assert [r["loss"] for r in with_bar.history] == [r["loss"] for r in without.history]
