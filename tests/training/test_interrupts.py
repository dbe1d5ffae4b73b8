import os
import signal
import sys
import threading
import time

import pytest

import forks
from gradus.core.errors import StorageError
from gradus.training.checkpoints import CheckpointStore
from gradus.training.interrupts import Signals, interruptible
from gradus.training.losses import head_loss
from training.small import assert_same, classifier, measured, rows, state, trainer

pytestmark = pytest.mark.usefixtures("no_sync")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def once(event, step, action):
    def callback(trained, happened):
        if happened == event and trained.step == step:
            action()

    return callback


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def watched(folder=None, **rest):
    return trainer(folder, evaluate=measured(rows(20, 1)), watch=True, **{"checkpoint_every": 1, **rest})


def test_ctrl_c_ends_after_the_step_with_the_best_so_far(tmp_path):
    network, best = classifier(), []
    values = iter([2.0, 1.0, 3.0, 4.0])
    trained = trainer(
        tmp_path,
        network=network,
        evaluate=lambda n: {"loss": next(values), "score": 0.0},
        watch=True,
        max_epochs=50,
        checkpoint_every=1,
        callbacks=[
            once("epoch", 8, lambda: best.append([p.detach().clone() for p in network.parameters()])),
            once("tick", 13, interrupt),
        ],
    )
    assert trained.run() == "interrupted"
    assert trained.step == 13 and [row["valid_loss"] for row in trained.history] == [2.0, 1.0, 3.0, 4.0]
    for parameter, wanted in zip(network.parameters(), best[0], strict=True):
        assert (parameter == wanted).all()


def test_a_timer_can_press_ctrl_c_in_the_midst_of_a_step():
    network = classifier()

    def slow(network, batch, source):
        time.sleep(0.01)
        return head_loss(network.head)(network, batch, source)

    timer = threading.Timer(0.2, interrupt)
    timer.start()
    trained = trainer(network=network, loss=slow, max_epochs=10_000)
    assert trained.run() == "interrupted"
    assert trained.step < 100
    timer.join()


@pytest.mark.parametrize(("event", "step"), [("tick", 6), ("tick", 8), ("epoch", 8), ("epoch", 12)])
def test_an_interrupted_training_goes_on_to_the_same_bits(event, step, tmp_path):
    whole = watched(average_decay=0.9)
    whole.run()
    first = watched(tmp_path, average_decay=0.9, callbacks=[once(event, step, interrupt)])
    assert first.run() == "interrupted" and first.step == step
    second = watched(tmp_path, average_decay=0.9, network=classifier(4))
    second.run()
    assert_same(state(whole), state(second))


def test_ctrl_c_while_validating_ends_at_that_epoch(tmp_path):
    def evaluate(network):
        interrupt()
        return measured(rows(20, 1))(network)

    trained = trainer(tmp_path, evaluate=evaluate, watch=True)
    assert trained.run() == "interrupted"
    assert (trained.step, trained.epoch, trained.offset) == (4, 1, 0)
    assert CheckpointStore(tmp_path).steps() == [4]


def test_stopping_early_counts_more_than_ctrl_c_in_the_same_epoch(tmp_path):
    def make(action=None):
        def evaluate(network):
            if action is not None:
                action()
            return {"loss": 1.0, "score": 0.0}

        return trainer(tmp_path, evaluate=evaluate, watch=True, patience=1, max_epochs=9)

    first = make(lambda: interrupt() if first.step == 8 else None)
    assert first.run() == "early_stopping" and first.step == 8
    assert make().run() == "early_stopping"  # and is final, as without the interrupt


def test_a_second_ctrl_c_does_not_wait():
    def twice():
        interrupt()
        interrupt()

    before = signal.getsignal(signal.SIGINT)
    trained = trainer(callbacks=[once("epoch", 4, twice)])
    with pytest.raises(KeyboardInterrupt):
        trained.run()
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_are_put_back_and_other_threads_get_none():
    seen = []

    def elsewhere():
        with interruptible(terminate=True) as signals:
            seen.append((signal.getsignal(signal.SIGINT), signals.request))

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible(terminate=True) as signals:
        assert signal.getsignal(signal.SIGINT) == signals.interrupt
        assert signal.getsignal(signal.SIGTERM) == signals.terminate
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert seen == [(before[0], None)]


def test_sigterm_is_left_alone_where_nothing_can_be_saved():
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_after_sigterm_is_not_hidden_and_sigterm_works_again():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StorageError), interruptible(terminate=True):
        os.kill(os.getpid(), signal.SIGTERM)
        raise StorageError("to write", "a full disk", "free some space")
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_comes_before_ctrl_c():
    signals = Signals()
    signals.interrupt(2, None)
    signals.terminate(15, None)
    assert signals.request == "terminated"
    signals.interrupt(2, None)
    assert signals.request == "terminated"


# -- SIGTERM, in children that really exit -----------------------------------------------------------------------------


def exits(work):
    """Run ``work`` in a child; return the code it exits with."""

    def child():
        try:
            work()
        except SystemExit as asked:
            sys.stderr.flush()
            os._exit(asked.code)

    return forks.run(child)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@needs_fork
@pytest.mark.parametrize(
    ("event", "step"), [("step", 1), ("step", 6), ("step", 8), ("epoch", 8), ("epoch", 12), ("stop", 12)]
)
def test_sigterm_saves_and_exits_143_and_the_training_goes_on_to_the_same_bits(event, step, tmp_path):
    def child():
        # no periodic checkpoints: what is there was saved because of the signal, which comes in the midst of a step
        network, calls = classifier(), []

        def loss(network, batch, source):
            calls.append(None)
            if event == "step" and len(calls) == step:
                terminate()
            return head_loss(network.head)(network, batch, source)

        callbacks = [once(event, step, terminate)]
        settings = {"average_decay": 0.9, "checkpoint_every": None, "callbacks": callbacks}
        watched(tmp_path, network=network, loss=loss, **settings).run()
        os._exit(0)

    assert exits(child) == 143
    assert CheckpointStore(tmp_path).steps() == [step]
    whole, last = watched(average_decay=0.9), watched(tmp_path, average_decay=0.9, network=classifier(4))
    whole.run()
    last.run()
    assert last.resumed_from == step
    assert_same(state(whole), state(last))


class Impatient(CheckpointStore):
    """A system that sends SIGTERM again and again while the checkpoint is written."""

    def _write(self, folder, step, content, score):
        terminate()
        super()._write(folder, step, content, score)
        terminate()

    def _install(self, temporary, place):
        terminate()
        super()._install(temporary, place)
        terminate()


@needs_fork
def test_further_sigterms_while_saving_are_harmless(tmp_path):
    def child():
        trained = watched(None, checkpoint_every=None, callbacks=[once("tick", 6, terminate)])
        trained.store = Impatient(tmp_path)
        trained._checkpoint_due = lambda now: True
        try:
            trained.run()
        finally:
            terminate()  # the process is about to exit: ignored
            time.sleep(0.01)
            terminate()

    assert exits(child) == 143
    whole, last = watched(), watched(tmp_path, network=classifier(4))
    whole.run()
    last.run()
    assert last.resumed_from is not None
    assert_same(state(whole), state(last))


@needs_fork
@pytest.mark.parametrize("signals", [1, 3])
def test_a_sigterm_from_outside_at_any_moment(signals, tmp_path):
    def child():
        watched(tmp_path, max_epochs=10_000, checkpoint_every=7).run()

    def wrapped():
        try:
            child()
        except SystemExit as asked:
            os._exit(asked.code)

    pid = forks.start(wrapped)
    deadline = time.monotonic() + 60
    while not CheckpointStore(tmp_path).steps() and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(signals):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.002)
    assert forks.finish(pid) == 143
    last = CheckpointStore(tmp_path).load()
    assert not last.skipped and last.step == last.parts["state"]["position"][2]
    reference, resumed = (watched(f, max_epochs=10_000, max_steps=last.step + 5) for f in (None, tmp_path))
    resumed.run()
    reference.run()
    assert resumed.resumed_from == last.step
    assert_same(state(reference), state(resumed))
