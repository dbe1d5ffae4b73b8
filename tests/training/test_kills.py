"""kill -9 at any moment of a training, and the training still ends in the bits of one that was never disturbed."""

import json
import os
import random
import signal
import sys
import time

import pytest

import forks
from gradus.core.storage import TEMPORARY_SUFFIX
from gradus.training.checkpoints import CheckpointStore
from training.small import assert_same, classifier, measured, rows, state, trainer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

OPTIMIZERS = ["adam", "momentum", "muon", "lbfgs", "rmsprop", "adagrad"]


def make(folder=None, number=0, *, fresh=0, callbacks=()):
    """Return the training number ``number`` of several kinds, with everything that has state turned on.

    Other weights to begin with (``fresh``) show that a life goes on from a checkpoint, where there is one.
    """
    fresh = fresh if folder is not None and CheckpointStore(folder).steps() else 0
    return trainer(
        folder,
        network=classifier(fresh, dropout=0.3, normalization="batch" if number % 2 else None),
        evaluate=measured(rows(20, 1)),
        watch=True,
        optimizer=OPTIMIZERS[number % len(OPTIMIZERS)],
        schedule=["cosine", "plateau", "one_cycle", "step", "constant"][number % 5],
        average_decay=0.9,
        weight_noise=0.02,
        patience=50,
        max_epochs=6,
        checkpoint_every=1 + number % 3,
        callbacks=list(callbacks),
    )


def finished(number, whole={}):  # noqa: B006 - a memory of what was computed already
    if number not in whole:
        undisturbed = make(None, number)
        undisturbed.run()
        whole[number] = state(undisturbed)
    return whole[number]


def leftovers(folder):
    return [path.name for path in folder.glob(f".*{TEMPORARY_SUFFIX}")]


def offset_of(folder):
    """Return how far into its epoch the newest checkpoint lies."""
    saved = CheckpointStore(folder)
    return saved.load().parts["state"]["position"][1] if saved.steps() else 0


def killed_at_random(folder, number, count, source):
    """Kill a training ``count`` times, each life a while after its first step; return what the kills cut through."""
    found = []
    finished(number)  # what torch imports at its first step is imported here, and not again in every child
    for life in range(count):
        reading, writing = os.pipe()

        def work(life=life, writing=writing):
            make(folder, number, fresh=life, callbacks=[lambda t, event: os.write(writing, b".")]).run()

        pid = forks.start(work)
        os.read(reading, 1)  # it has begun
        time.sleep(source.uniform(0, 0.12))
        code = forks.kill(pid)
        os.close(reading), os.close(writing)
        assert code in (-signal.SIGKILL, 0)
        found.append({"killed": code < 0, "writing": bool(leftovers(folder)), "offset": offset_of(folder)})
    return found


def assert_ends_alike(folder, number):
    last = make(folder, number, fresh=99)
    last.run()
    assert_same(finished(number), state(last))
    assert not leftovers(folder)


@pytest.mark.parametrize("number", [0, 1])
def test_a_training_killed_three_times_ends_in_the_same_bits(number, tmp_path):
    killed_at_random(tmp_path, number, 3, random.Random(number))
    assert_ends_alike(tmp_path, number)


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments(tmp_path):
    source, found = random.Random(7), []
    for number in range(25):
        found += killed_at_random(tmp_path / str(number), number, 4, source)
        assert_ends_alike(tmp_path / str(number), number)
    killed = [kill for kill in found if kill["killed"]]
    summary = {
        "lives": len(found),
        "killed": len(killed),
        "while writing": sum(kill["writing"] for kill in killed),
        "in mid-epoch": sum(kill["offset"] % 4 > 0 for kill in killed),
    }
    print(json.dumps(summary))
    assert summary["lives"] == 100 and summary["killed"] >= 60
    assert summary["while writing"] >= 5 and summary["in mid-epoch"] >= 20


def operations(folder, number, kill_at):
    """Train; kill -9 just before the ``kill_at``-th operation on files below ``folder``. Return how many there were."""
    count = [0]
    kinds = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}
    place = str(folder)

    def witness(event, arguments):
        if event in kinds and place in str(arguments[0]):
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count[0] += 1

    def work():
        sys.addaudithook(witness)
        make(folder, number).run()
        if kill_at is None:
            (folder.parent / "count").write_text(str(count[0]))

    code = forks.run(work)
    assert code == (0 if kill_at is None or kill_at >= total(folder) else -signal.SIGKILL)
    return code


def total(folder):
    path = folder.parent / "count"
    return int(path.read_text()) if path.exists() else 10**9


def kill_before_each(tmp_path, number, chosen):
    finished(number)
    whole = tmp_path / "whole"
    whole.mkdir()
    operations(whole, number, None)
    everything = total(whole)
    assert everything > 100
    for place in chosen(everything):
        folder = tmp_path / f"killed{place}"
        folder.mkdir()
        operations(folder, number, place)
        assert_ends_alike(folder, number)


def test_a_kill_before_some_operations_on_files(tmp_path):
    source = random.Random(3)
    kill_before_each(tmp_path, 0, lambda n: sorted(source.sample(range(n), 3)))


@pytest.mark.slow
def test_a_kill_before_each_operation_on_files_of_the_first_checkpoints(tmp_path):
    kill_before_each(tmp_path, 0, lambda n: range(min(n, 120)))
