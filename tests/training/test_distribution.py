"""Two processes that share every batch: the same weights as one, exact positions, one writer, no hang."""

import json
import os
import signal
import socket
import time
import traceback

import pytest
import torch
from torch import nn

import forks
from gradus.core.devices import choose_device, processes_launched
from gradus.core.errors import GradusError, NonFiniteError, PeerError, SettingError
from gradus.core.randomness import generator
from gradus.core.tensors import read_tensors, save_tensors
from gradus.training import distribution
from gradus.training.checkpoints import CheckpointStore
from gradus.training.losses import Loss, head_loss
from training.small import classifier, crash_at, measured, rows, trainer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
    pytest.mark.usefixtures("no_sync"),
]

DOUBLE = torch.float64
DEADLINE = 40.0


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(folder, work, size=2):
    """Run ``work(rank)`` in each of ``size`` processes that find each other; return exit codes and what each wrote.

    What work returns goes into a file as JSON, tensors into another.
    """
    folder.mkdir(exist_ok=True)
    port, pids = free_port(), []
    for rank in range(size):

        def child(rank=rank):
            os.environ |= {
                "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
            begin = time.monotonic()
            try:
                said = work(rank)
            except GradusError as error:
                said = {"error": type(error).__name__, "words": str(error)}
            except BaseException as error:
                traceback.print_exc()
                said = {"error": type(error).__name__, "words": str(error)}
            tensors = said.pop("tensors", None) if isinstance(said, dict) else None
            if tensors:
                save_tensors(folder / f"{rank}.safetensors", tensors)
            said = {"said": said, "seconds": time.monotonic() - begin}
            (folder / f"{rank}.json").write_text(json.dumps(said))

        pids.append(forks.start(child))
    codes, late = {}, time.monotonic() + DEADLINE
    while len(codes) < size:
        for rank, pid in enumerate(pids):
            if rank not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[rank] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > late:
            for rank, pid in enumerate(pids):
                if rank not in codes:
                    forks.kill(pid)
            pytest.fail(f"processes {set(range(size)) - set(codes)} hang")
        time.sleep(0.02)
    said = [path.read_text() if (path := folder / f"{rank}.json").exists() else "{}" for rank in range(size)]
    return [codes[rank] for rank in range(size)], [json.loads(text) for text in said]


def tensors_of(folder, rank):
    return read_tensors(folder / f"{rank}.safetensors")[0]


def result(run):
    """What a test compares of a finished run."""
    values = {name: value.detach().clone() for name, value in run.network.state_dict().items()}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]
    return {"tensors": values, "history": rows, "finished": run.finished, "step": run.step}


def trained(**settings):
    run = trainer(**settings)
    run.run()
    return run


def assert_as_one(tmp_path, build, size=2, **tolerance):
    """Several processes end bit for bit alike, and where one alone does, up to the order of sums."""
    codes, said = together(tmp_path, lambda rank: result(trained(**build())), size)
    assert codes == [0] * size and "error" not in said[0]["said"], said
    alone = result(trained(**build()))
    first = tensors_of(tmp_path, 0)
    for rank in range(1, size):
        assert said[rank]["said"] == said[0]["said"]
        assert all(torch.equal(value, first[name]) for name, value in tensors_of(tmp_path, rank).items())
    assert said[0]["said"]["finished"] == alone["finished"] and said[0]["said"]["step"] == alone["step"]
    for row, other in zip(said[0]["said"]["history"], alone["history"], strict=True):
        assert row == pytest.approx(other, rel=1e-6 if tolerance["rtol"] > 1e-8 else 1e-9)
    moved = 0.0
    start = build()["network"].state_dict()
    for name, value in alone["tensors"].items():
        torch.testing.assert_close(first[name], value, **tolerance)
        moved = max(moved, float((value - start[name]).abs().max()))
    assert moved > 0.01  # else everything would be equal to everything


WEIGHTED = {"weights": torch.rand(27, generator=generator(5), dtype=DOUBLE) * 3}
EXACT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "schedule": "cosine", "average_decay": 0.9},
        {"optimizer": "momentum", "accumulate": 2, "l2": 0.05, "gradient_clip": 0.3},
        {"optimizer": "sgd", "learning_rate": 0.1, "l1": 0.01, "max_norm": 1.5},
        {"optimizer": "lbfgs", "max_epochs": 1},
    ],
    ids=lambda s: s["optimizer"],
)
def test_two_processes_learn_what_one_does(settings, tmp_path):
    def build():  # 27 rows in batches of 8: the last has 3, of which one process gets 1 and the other 2
        data = {**rows(27, dtype=DOUBLE), **WEIGHTED}
        valid = measured(rows(20, 1, DOUBLE))
        base = {"learning_rate": 0.02, "evaluate": valid, "watch": True}
        return {"network": classifier(dtype=DOUBLE), "data": data, **base, **settings}

    assert_as_one(tmp_path, build, **EXACT)


def test_in_single_precision_they_agree_up_to_the_order_of_sums(tmp_path):
    def build():
        return {"network": classifier(), "data": rows(40), "learning_rate": 0.02}

    assert_as_one(tmp_path, build, rtol=1e-4, atol=1e-6)


def test_three_processes_share_a_batch_of_two_rows_and_uneven_ones(tmp_path):
    def build():  # 18 rows in batches of 8: the last has 2, fewer than processes
        data = {**rows(18, dtype=DOUBLE), "weights": WEIGHTED["weights"][:18]}
        return {"network": classifier(dtype=DOUBLE), "data": data, "learning_rate": 0.02}

    assert_as_one(tmp_path, build, size=3, **EXACT)


def test_batch_normalization_sees_the_whole_batch(tmp_path):
    def build():
        # Not Adam: it would make steps of the rounding that is the gradient of a bias before a normalization.
        network = classifier(dtype=DOUBLE, normalization="batch")
        return {"network": network, "data": rows(27, dtype=DOUBLE), "learning_rate": 0.05, "optimizer": "momentum"}

    assert_as_one(tmp_path, build, **EXACT)


def token_loss(network, batch, source):
    """Counts what is marked, of which a process's share may hold nothing."""
    each = nn.functional.cross_entropy(network(batch["inputs"]), batch["targets"], reduction="none")
    return Loss((each * batch["marked"]).sum(), batch["marked"].sum(), {})


def test_counts_are_summed_and_not_averaged(tmp_path):
    def build():
        marked = torch.rand(26, generator=generator(3)) < 0.3
        marked[::8] = True
        data = {**rows(26, dtype=DOUBLE), "marked": marked}
        return {"network": classifier(dtype=DOUBLE), "data": data, "loss": token_loss, "learning_rate": 0.02}

    assert_as_one(tmp_path, build, **EXACT)


def test_large_gradients_go_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(distribution, "BUCKET", 20)

    def build():
        return {"network": classifier(dtype=DOUBLE), "data": rows(27, dtype=DOUBLE), "learning_rate": 0.02}

    assert_as_one(tmp_path, build, **EXACT)


# -- what is random, and positions ----------------------------------------------------------------------------------


def drawing(network, batch, source):
    drawing.seen.append([float(torch.rand(1, generator=source)), float(torch.rand(1))])
    return head_loss(network.head)(network, batch, source)


def test_each_process_draws_its_own_numbers_and_the_same_at_every_repetition(tmp_path):
    def work(rank):
        drawing.seen = []
        trained(data=rows(16), loss=drawing, max_epochs=2)
        return drawing.seen

    first, second = (together(tmp_path / name, work)[1] for name in "ab")
    ours, theirs = (part["said"] for part in first)
    assert ours == second[0]["said"] and theirs == second[1]["said"] and len(ours) == 4
    numbers = [number for pair in [*ours, *theirs] for number in pair]
    assert len(set(numbers)) == 16  # by process, by step, by generator


def stopping(folder=None, *, stop=None, **settings):
    callbacks = [] if stop is None else [crash_at(stop)]
    return trainer(
        folder, network=classifier(dropout=0.3, normalization="batch"), evaluate=measured(rows(20, 1)), watch=True,
        learning_rate=0.02, patience=50, average_decay=0.9, weight_noise=0.05, max_epochs=4, checkpoint_every=1,
        callbacks=callbacks, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("settings", [{"optimizer": "adam", "schedule": "plateau"}, {"optimizer": "muon"}])
def test_a_stopped_training_of_two_goes_on_to_the_same_bits(settings, tmp_path):
    def whole(rank):
        run = stopping(**settings)
        run.run()
        return result(run)

    def stopped(stop):
        return lambda rank: stopping(tmp_path / "run", stop=stop, **settings).run()

    def last(rank):
        run = stopping(tmp_path / "run", **settings)
        run.run()
        return {**result(run), "from": run.resumed_from}

    together(tmp_path / "whole", whole)
    for stop in (6, 11):
        said = together(tmp_path / "stopped", stopped(stop))[1]
        assert {part["said"]["error"] for part in said} == {"Crash"}
    found = together(tmp_path / "last", last)[1]
    assert found[0]["said"].pop("from") == 10
    told = json.loads((tmp_path / "whole" / "0.json").read_text())["said"]
    assert found[0]["said"] == told
    for rank in range(2):
        one, other = tensors_of(tmp_path / "whole", rank), tensors_of(tmp_path / "last", rank)
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_first_process_alone_writes(tmp_path):
    def work(rank):
        saved = []
        keep = CheckpointStore.save
        CheckpointStore.save = lambda *given, **named: (saved.append(given[1]), keep(*given, **named))[1]
        evaluated = []
        run = stopping(tmp_path / "run")
        evaluate = run.evaluate
        run.evaluate = lambda network: (evaluated.append(1), evaluate(network))[1]
        run.run()
        return [saved, len(evaluated), len(run.history), [row["valid_loss"] for row in run.history]]

    said = together(tmp_path / "said", work)[1]
    first, second = (part["said"] for part in said)
    assert sorted(set(first[0])) == list(range(1, 17)) and second[0] == []
    assert (first[1], second[1]) == (4, 0) and first[2:] == second[2:]


# -- ends -----------------------------------------------------------------------------------------------------------


def endless(folder=None, callbacks=(), **settings):
    return trainer(folder, max_epochs=10**6, callbacks=list(callbacks), **settings)


def when(step, what):
    """A callback that acts once ``step`` is reached."""
    done = []

    def callback(run, event):
        if run.step >= step and not done:
            done.append(what())

    return callback


def test_a_killed_process_ends_the_others_with_a_sentence_in_seconds(tmp_path):
    killed = tmp_path / "killed"

    def die():
        killed.write_text(repr(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)

    def work(rank):
        try:
            endless(callbacks=[when(30, die)] if rank == 1 else []).run()
        except PeerError as error:
            return [str(error), time.time()]

    codes, said = together(tmp_path / "said", work)
    sentence, then = said[0]["said"]
    assert codes == [0, -signal.SIGKILL]
    assert then - float(killed.read_text()) < 5
    assert sentence.startswith("expected every process of this training at work, got one that is gone (")
    assert sentence.endswith(
        "; look for the first error above, then start all of them again, or `gradus resume` the run"
    )
    assert "\n" not in sentence


def test_an_error_in_one_process_does_not_leave_the_others_waiting(tmp_path):
    def fail():
        raise OSError("of this process alone")

    def work(rank):
        try:
            endless(callbacks=[when(30, fail)] if rank == 1 else []).run()
        except OSError:
            try:
                trained()
            except PeerError as error:
                time.sleep(3)  # still alive while the other finds out
                return str(error)
        except PeerError:
            return "told"

    said = together(tmp_path, work)[1]
    assert said[0]["said"] == "told" and said[0]["seconds"] < 10
    assert "one that left after an error" in said[1]["said"]


@pytest.mark.parametrize(
    ("number", "finished", "rank"),
    [(signal.SIGINT, "interrupted", 0), (signal.SIGINT, "interrupted", 1), (signal.SIGTERM, "terminated", 1)],
)
def test_a_signal_to_one_process_ends_all_at_the_same_step(number, finished, rank, tmp_path):
    def work(own):
        run = endless(tmp_path / "run", callbacks=[when(40, lambda: os.kill(os.getpid(), number))] * (own == rank))
        code = 0
        try:
            run.run()
        except SystemExit as end:
            code = end.code
        return [run.finished, run.step, code]

    said = together(tmp_path / "said", work)[1]
    assert said[0]["said"] == said[1]["said"]
    assert said[0]["said"][0] == finished and said[0]["said"][2] == (143 if finished == "terminated" else 0)
    assert CheckpointStore(tmp_path / "run").steps()[-1] == said[0]["said"][1]


def test_an_echo_of_ctrl_c_counts_once(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    said = together(tmp_path, lambda rank: [endless(callbacks=[when(40, twice)]).run()])[1]
    assert [part["said"] for part in said] == [["interrupted"]] * 2


def test_time_is_the_first_process_s(tmp_path):
    def work(rank):
        run = endless(max_time=0.5 if rank == 0 else 1e-6)
        run.run()
        return [run.finished, run.step]

    said = together(tmp_path, work)[1]
    assert said[0]["said"] == said[1]["said"] and said[0]["said"][0] == "max_time" and said[0]["said"][1] > 20


def test_a_callback_of_one_process_ends_all(tmp_path):
    def work(rank):
        def stop(run, event):
            if rank == 1 and run.step >= 40:
                run.finished = "callback"

        run = endless(callbacks=[stop])
        return [run.run(), run.step]

    said = together(tmp_path, work)[1]
    assert said[0]["said"] == said[1]["said"] and said[0]["said"][0] == "callback"


def test_a_loss_that_is_not_finite_ends_all_with_the_last_good_weights(tmp_path):
    def work(rank):
        data = rows(27)
        data["inputs"][5] = torch.nan
        run = trainer(data=data)
        with pytest.raises(NonFiniteError) as caught:
            run.run()
        trained()  # they are still together
        return [str(caught.value), all(bool(p.isfinite().all()) for p in run.network.parameters())]

    said = together(tmp_path, work)[1]
    assert said[0]["said"] == said[1]["said"] and said[0]["said"][1]


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: {"network": classifier(1)}, "the same weights in all 2 processes"),
        (lambda: {"seed": 3}, "the same seed in all 2 processes"),
        (lambda: {"data": rows(50)}, "the same number of batches"),
        (lambda: {"tag": "others"}, "the same data and settings"),
        (lambda: {"max_epochs": 5}, "the same budget"),
    ],
)
def test_processes_that_would_not_do_the_same_are_refused(other, what, tmp_path):
    said = together(tmp_path, lambda rank: [trainer(**(other() if rank else {})).run()])[1]
    for part in said:
        assert part["said"]["error"] == "SettingError" and what in part["said"]["words"]
        assert "set random_state" in part["said"]["words"]


def contrast(network, batch, source):
    features = network(batch["inputs"])
    return Loss((features @ features.T).logsumexp(1).sum(), float(len(features)), {})


contrast.decomposes = False


def test_a_loss_that_compares_examples_is_not_shared(tmp_path):
    said = together(tmp_path, lambda rank: [trainer(loss=contrast).run()])[1]
    words = "expected one process with a loss that does not decompose over examples, got 2 that share each batch"
    # Whichever is refused first may be gone before the other has met it, and that is then what the other says.
    assert any(part["said"]["words"].startswith(words) for part in said)
    assert all(part["said"]["words"] for part in said)


class Branching(nn.Module):
    """Parameters that only some rows, or no row, reach."""

    def __init__(self):
        super().__init__()
        self.all, self.some = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
        self.none = nn.Parameter(torch.ones(4))

    def forward(self, inputs, marked):
        out = (inputs * self.all).sum(1)
        return out + (inputs[marked] * self.some).sum() if bool(marked.any()) else out


def branching(network, batch, source):
    return Loss(network(batch["inputs"], batch["marked"]).square().sum(), float(len(batch["inputs"])), {})


def test_a_parameter_that_one_share_does_not_reach_counts_as_zero_there(tmp_path):
    def work(rank):
        marked = torch.zeros(8, dtype=torch.bool)
        marked[0] = True
        data = {"inputs": torch.ones(8, 4), "marked": marked}
        network = Branching()
        run = trainer(network=network, data=data, loss=branching, weight_decay=0.1, optimizer="adamw", max_epochs=2)
        run.run()
        return {"tensors": dict(network.state_dict())}

    together(tmp_path, work)
    one, other = tensors_of(tmp_path, 0), tensors_of(tmp_path, 1)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert torch.equal(one["none"], torch.ones(4)) and not torch.equal(one["some"], torch.ones(4))


def test_a_parameter_reached_only_later_is_refused(tmp_path):
    def work(rank):
        steps = []

        def later(network, batch, source):
            steps.append(1)
            if len(steps) < 3:
                batch = {**batch, "marked": torch.zeros(len(batch["inputs"]), dtype=torch.bool)}
            return branching(network, batch, source)

        data = {"inputs": torch.ones(32, 4), "marked": torch.ones(32, dtype=torch.bool)}
        return [trainer(network=Branching(), data=data, loss=later).run()]

    said = together(tmp_path, work)[1]
    assert {part["said"]["error"] for part in said} == {"SettingError"}
    assert "a loss that reaches the same parameters at every step" in said[0]["said"]["words"]


# -- estimators, launchers ------------------------------------------------------------------------------------------


def test_estimators_learn_together_from_a_seed_that_one_of_them_draws(tmp_path):
    from gradus import MLPClassifier

    def fit(rank=0, **settings):
        X = torch.randn(150, 3, generator=generator(0)).numpy()
        y = (X[:, 0] * X[:, 1] > 0).astype(int)
        model = MLPClassifier(
            hidden=(12,), max_epochs=6, batch_size=32, learning_rate=0.02, early_stopping=True, n_threads=1,
            **settings,
        )  # fmt: skip
        model.fit(X, y)
        return model, {
            "tensors": dict(model.network_.state_dict()),
            "seed": model.seed_,
            "loss": [row["loss"] for row in model.history_],
        }

    drawn = together(tmp_path / "drawn", lambda rank: fit(retrain="epochs", precision="auto", compile="auto")[1])[1]
    assert drawn[0]["said"] == drawn[1]["said"]
    fixed = together(tmp_path / "fixed", lambda rank: fit(random_state=0)[1])[1]
    alone = fit(random_state=0)[1]
    assert fixed[0]["said"]["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    for folder in ("drawn", "fixed"):
        one, other = (tensors_of(tmp_path / folder, rank) for rank in range(2))
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_alone_nothing_is_shared():
    assert processes_launched() == 1 and not distribution.launched() and distribution.world() is None
    assert distribution.is_first() and distribution.agreed([1]) == [1]
    run = trainer()
    assert run.world is None and run.players[0].common is run.players[0].generator


def test_workers_of_a_process_that_trains_with_others_are_alone(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert distribution.launched() and not distribution.is_first()
    monkeypatch.setenv("GRADUS_JOINED", str(os.getpid()))
    assert distribution.launched()
    monkeypatch.setenv("GRADUS_JOINED", str(os.getpid() + 1))
    assert not distribution.launched()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(SettingError, match="a whole number in the environment's WORLD_SIZE, got 'two'"):
        processes_launched()


def test_a_gpu_for_each_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(choose_device("auto")) == "cuda:0"
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert [str(choose_device(name)) for name in ("auto", "cuda", "cuda:0", "cpu")] == [
        "cuda:1", "cuda:1", "cuda:0", "cpu",
    ]  # fmt: skip
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert str(choose_device("cuda")) == "cuda:1"  # they share
