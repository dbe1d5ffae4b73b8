"""Weights, gradients and optimizer memory divided over processes: the same weights as one, exact positions."""

import json
import os
import signal
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from gradus import MLPClassifier, load
from gradus.core.errors import NonFiniteError, PeerError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.core.trees import flatten
from gradus.estimators import footprint
from gradus.training import sharding
from gradus.training.checkpoints import CheckpointStore
from gradus.training.losses import Loss
from gradus.training.observers import observed_by
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from training.small import classifier, measured, rows, trainer
from training.test_distribution import (
    DOUBLE,
    EXACT,
    WEIGHTED,
    Branching,
    assert_as_one,
    branching,
    endless,
    result,
    stopping,
    tensors_of,
    together,
    token_loss,
    trained,
    when,
)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
    pytest.mark.usefixtures("no_sync"),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Take every layer of the small networks here for a block."""
    from gradus.training import sharded_network

    monkeypatch.setattr(sharded_network, "BLOCK", 10)


def parted(**settings):
    return trainer(shard="on", **settings)


def assert_divided(tmp_path, build, size=2, **tolerance):
    """As one process alone, and it was divided indeed."""
    parts = tmp_path / "words"

    def checked():
        return {**build(), "shard": "on", "callbacks": [told]}

    def told(run, event):
        if event == "start" and run.world is not None:
            parts.mkdir(exist_ok=True)
            (parts / f"{run.world.rank}").write_text(run.players[0].execution)

    assert_as_one(tmp_path, checked, size, **tolerance)
    words = [path.read_text() for path in parts.iterdir()]
    assert words == [f"eager; sharded over {size} processes"] * size


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "schedule": "cosine", "average_decay": 0.9},
        {"optimizer": "adamw", "weight_decay": 0.1, "gradient_clip": 0.3, "l1": 0.01},
        {"optimizer": "momentum", "accumulate": 2, "l2": 0.05, "gradient_clip": 0.3},
        {"optimizer": "sgd", "learning_rate": 0.1, "l1": 0.01, "max_norm": 1.5},
        {"optimizer": "rmsprop", "weight_decay": 0.01},
        {"optimizer": "adagrad", "learning_rate": 0.1},
    ],
    ids=lambda s: s["optimizer"],
)
def test_two_processes_with_half_of_everything_learn_what_one_does(settings, tmp_path):
    def build():  # 27 rows in batches of 8: the last has 3, of which one process gets 1 and the other 2
        data = {**rows(27, dtype=DOUBLE), **WEIGHTED}
        valid = measured(rows(20, 1, DOUBLE))
        base = {"learning_rate": 0.02, "evaluate": valid, "watch": True}
        return {"network": classifier(dtype=DOUBLE), "data": data, **base, **settings}

    assert_divided(tmp_path, build, **EXACT)


def test_in_single_precision_they_agree_up_to_the_order_of_sums(tmp_path):
    def build():
        return {"network": classifier(), "data": rows(40), "learning_rate": 0.02, "gradient_clip": 1.0}

    assert_divided(tmp_path, build, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [3, 4])  # of 5 rows a fourth process has none; of 2 examples, all have all
def test_more_processes_than_rows_of_a_batch_or_of_a_weight(size, tmp_path):
    def build():
        data = {**rows(18, dtype=DOUBLE), "weights": WEIGHTED["weights"][:18]}
        more = {"accumulate": 2, "gradient_clip": 0.5, "average_decay": 0.9, "max_norm": 1.2}
        return {"network": classifier(dtype=DOUBLE), "data": data, "learning_rate": 0.02, "max_epochs": 2, **more}

    assert_divided(tmp_path, build, size=size, **EXACT)


def test_counts_are_summed_and_not_averaged(tmp_path):
    def build():
        marked = torch.rand(26, generator=generator(3)) < 0.3
        marked[::8] = True
        data = {**rows(26, dtype=DOUBLE), "marked": marked}
        return {"network": classifier(dtype=DOUBLE), "data": data, "loss": token_loss, "learning_rate": 0.02}

    assert_divided(tmp_path, build, **EXACT)


def test_batch_normalization_sees_the_whole_batch(tmp_path):
    def build():
        network = classifier(dtype=DOUBLE, normalization="batch")
        return {"network": network, "data": rows(27, dtype=DOUBLE), "learning_rate": 0.05, "optimizer": "momentum"}

    assert_divided(tmp_path, build, **EXACT)


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}], ids=["noise", "bf16"])
def test_what_is_random_is_that_of_processes_with_whole_weights(settings, tmp_path):
    def fit(**more):
        network = classifier(dropout=0.3, dtype=torch.float32 if settings else DOUBLE)
        data = rows(27, dtype=torch.float32 if settings else DOUBLE)
        return result(trained(network=network, data=data, learning_rate=0.02, weight_noise=0.1, **settings, **more))

    together(tmp_path / "whole", lambda rank: fit())
    together(tmp_path / "parts", lambda rank: fit(shard="on"))
    tolerance = {"rtol": 0.02, "atol": 0.005} if settings else EXACT
    for name, value in tensors_of(tmp_path / "whole", 0).items():
        torch.testing.assert_close(tensors_of(tmp_path / "parts", 0)[name], value, **tolerance)


# -- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("momentum", marks=pytest.mark.slow)])
def test_a_stopped_training_goes_on_to_the_same_bits(optimizer, tmp_path):
    settings = {"optimizer": optimizer, "schedule": "plateau", "shard": "on"}

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
    assert found[0]["said"] == told and found[1]["said"].pop("from") == 10 and found[1]["said"] == told
    for rank in range(2):
        one, other = tensors_of(tmp_path / "whole", 0), tensors_of(tmp_path / "last", rank)
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def going_on(folder, **settings):
    valid = measured(rows(20, 1, DOUBLE))
    return trainer(
        folder, network=classifier(dtype=DOUBLE), data=rows(27, dtype=DOUBLE), evaluate=valid, watch=True, seed=1,
        learning_rate=0.02, patience=50, average_decay=0.9, max_epochs=4, checkpoint_every=1, **settings,
    )  # fmt: skip


def alone_until(folder, steps=None):
    run = going_on(folder, max_steps=steps)
    run.run()
    return run


def test_a_checkpoint_is_that_of_one_process_and_each_goes_on_from_the_other_s(tmp_path):
    def divided(folder, steps=None):
        def work(rank):
            run = going_on(folder, max_steps=steps, shard="on")
            run.run()
            return {**result(run), "from": run.resumed_from}

        return work

    expected = alone_until(tmp_path / "whole")
    together(tmp_path / "said", divided(tmp_path / "parts", 9))
    alone_until(tmp_path / "one", 9)
    saved = [flatten(CheckpointStore(tmp_path / name).load(9).parts)[0] for name in ("parts", "one")]
    assert saved[0].keys() == saved[1].keys() and any("exp_avg" in name for name in saved[0])
    for name, tensor in saved[1].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(saved[0][name], tensor, **EXACT)
    taken = alone_until(tmp_path / "parts")  # by one what two began
    said = together(tmp_path / "reverse", divided(tmp_path / "one"))[1]  # and by two what one began
    assert taken.resumed_from == said[0]["said"]["from"] == 9
    for name, value in expected.network.state_dict().items():
        torch.testing.assert_close(taken.network.state_dict()[name], value, **EXACT)
        torch.testing.assert_close(tensors_of(tmp_path / "reverse", 1)[name], value, **EXACT)


def test_the_first_process_alone_writes_and_all_measure(tmp_path):
    def work(rank):
        saved, evaluated = [], []
        keep = CheckpointStore.save
        CheckpointStore.save = lambda *given, **named: (saved.append(given[1]), keep(*given, **named))[1]
        run = stopping(tmp_path / "run", shard="on")
        evaluate = run.evaluate
        run.evaluate = lambda network: (evaluated.append(1), evaluate(network))[1]
        run.run()
        return [saved, len(evaluated), [row["valid_loss"] for row in run.history]]

    first, second = (part["said"] for part in together(tmp_path / "said", work)[1])
    assert sorted(set(first[0])) == list(range(1, 17)) and second[0] == []
    assert first[1:] == second[1:] and first[1] == 4


# -- ends -----------------------------------------------------------------------------------------------------------


def test_a_killed_process_ends_the_others_with_a_sentence_in_seconds(tmp_path):
    killed = tmp_path / "killed"

    def die():
        killed.write_text(repr(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)

    def work(rank):
        run = endless(callbacks=[when(30, die)] if rank == 1 else [], shard="on")
        try:
            run.run()
        except PeerError as error:
            return [str(error), time.time(), run.lost, sum(p.numel() for p in run.network.parameters())]

    codes, said = together(tmp_path / "said", work)
    sentence, then, lost, numbers = said[0]["said"]
    assert codes == [0, -signal.SIGKILL]
    assert then - float(killed.read_text()) < 5
    assert sentence.startswith("expected every process of this training at work, got one that is gone (")
    assert sentence.endswith("start all of them again, or `gradus resume` the run") and "\n" not in sentence
    assert lost and numbers == 0


def test_an_error_in_one_process_does_not_leave_the_others_waiting(tmp_path):
    def fail():
        raise OSError("of this process alone")

    def work(rank):
        try:
            endless(callbacks=[when(30, fail)] if rank == 1 else [], shard="on").run()
        except (OSError, PeerError) as error:
            return type(error).__name__

    said = together(tmp_path, work)[1]
    assert [part["said"] for part in said] == ["PeerError", "OSError"] and said[0]["seconds"] < 10


@pytest.mark.parametrize(("number", "finished"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_to_one_process_ends_all_at_the_same_step_with_whole_weights(number, finished, tmp_path):
    def work(own):
        hooks = [when(40, lambda: os.kill(os.getpid(), number))] * (own == 1)
        run = endless(tmp_path / "run", callbacks=hooks, shard="on")
        code = 0
        try:
            run.run()
        except SystemExit as end:
            code = end.code
        return {"tensors": dict(run.network.state_dict()), "is": [run.finished, run.step, code, run.lost]}

    said = together(tmp_path / "said", work)[1]
    assert said[0]["said"] == said[1]["said"]
    step = CheckpointStore(tmp_path / "run").steps()[-1]
    assert said[0]["said"]["is"] == [finished, step, 143 if finished == "terminated" else 0, False]
    saved = CheckpointStore(tmp_path / "run").load(step).parts["model"]
    for rank in range(2):
        assert all(torch.equal(value, saved[name]) for name, value in tensors_of(tmp_path / "said", rank).items())


def test_a_loss_that_is_not_finite_ends_all_with_the_last_good_weights(tmp_path):
    def work(rank):
        data = rows(27)
        data["inputs"][5] = torch.nan
        network = classifier()
        before = [p.clone() for p in network.parameters()]
        run = parted(data=data, network=network)
        with pytest.raises(NonFiniteError) as caught:
            run.run()
        trained(shard="on")  # they are still together
        return [str(caught.value), all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))]

    said = together(tmp_path, work)[1]
    assert said[0]["said"] == said[1]["said"] and said[0]["said"][1]


def test_a_weight_of_one_process_that_is_not_finite_ends_all(tmp_path):
    def work(rank):
        run = parted(optimizer="sgd", max_epochs=1)

        @torch.no_grad()
        def spoil(optimizer, *given):
            if rank == 1 and run.step == 3:  # the last of the epoch: no loss will tell
                run.players[0].parameters[0].fill_(torch.nan)

        run.players[0].optimizers[0].register_step_post_hook(spoil)
        with pytest.raises(NonFiniteError, match="a finite weight after the update, got NaN or infinity at step 3"):
            run.run()
        return all(bool(p.isfinite().all()) for p in run.network.parameters())

    assert [part["said"] for part in together(tmp_path, work)[1]] == [True, True]


# -- what is not reached, what is refused ---------------------------------------------------------------------------


def test_a_parameter_that_one_share_does_not_reach_counts_as_zero_there(tmp_path):
    def work(shard):
        def fit(rank):
            marked = torch.zeros(8, dtype=torch.bool)
            marked[0] = True
            data = {"inputs": torch.ones(8, 4), "marked": marked}
            network = Branching()
            more = {"l2": 0.5, "optimizer": "sgd", "max_epochs": 2, "shard": shard}
            trainer(network=network, data=data, loss=branching, **more).run()
            return {"tensors": dict(network.state_dict())}

        return fit

    together(tmp_path / "parts", work("on"))
    together(tmp_path / "whole", work("off"))
    expected = tensors_of(tmp_path / "whole", 0)
    assert torch.equal(expected["none"], torch.ones(4)) and not torch.equal(expected["some"], torch.ones(4))
    for rank in range(2):
        for name, value in tensors_of(tmp_path / "parts", rank).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7)


def test_a_parameter_that_nothing_reaches_does_not_decay(tmp_path):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(4, 3), nn.Linear(4, 3)
            self.scale = nn.Parameter(torch.tensor(1.0))  # a scalar stays whole

        def forward(self, inputs):
            return self.used(inputs) * self.scale

    def loss(network, batch, source):
        total = nn.functional.cross_entropy(network(batch["inputs"]), batch["targets"], reduction="sum")
        return Loss(total, float(len(batch["targets"])), {})

    def build():
        with isolated(0):
            network = Idle().to(DOUBLE)
        more = {"l2": 0.1, "l1": 0.1, "optimizer": "momentum", "gradient_clip": 0.2, "learning_rate": 0.1}
        return {"network": network, "data": rows(27, dtype=DOUBLE), "loss": loss, **more}

    assert_divided(tmp_path, build, **EXACT)
    assert torch.equal(tensors_of(tmp_path, 1)["idle.weight"], build()["network"].idle.weight)


def test_a_parameter_reached_only_later_is_refused(tmp_path):
    def work(rank):
        steps = []

        def later(network, batch, source):
            steps.append(1)
            if len(steps) < 3:
                batch = {**batch, "marked": torch.zeros(len(batch["inputs"]), dtype=torch.bool)}
            return branching(network, batch, source)

        data = {"inputs": torch.ones(32, 4), "marked": torch.ones(32, dtype=torch.bool)}
        return [parted(network=Branching(), data=data, loss=later).run()]

    said = together(tmp_path, work)[1]
    assert "a loss that reaches the same parameters at every step" in said[0]["said"]["words"], said


REFUSED = [
    ({"optimizer": "muon"}, "an optimizer that treats each number alone where shard='on', got muon, which reads"),
    (
        {"optimizer": "lbfgs"},
        "got lbfgs, which searches along whole gradients; set optimizer='adamw', or set shard='off'",
    ),
    ({"compile": "on"}, "compile='off' where shard='on', got 'on'"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_what_cannot_be_divided_is_refused_or_with_auto_left_whole(settings, words, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "SHARE", 0.0)

    def work(rank):
        network = classifier()
        before = [p.clone() for p in network.parameters()]
        with pytest.raises(SettingError) as caught:
            parted(network=network, **settings).run()
        assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
        return str(caught.value)

    said = together(tmp_path / "on", work)[1]
    assert all(words in str(part["said"]) for part in said), said
    if "compile" in settings:
        return

    def auto(rank):
        run = trainer(max_epochs=1, **settings)
        run.run()
        return run.players[0].execution

    said = together(tmp_path / "auto", auto)[1]
    assert said[0]["said"].startswith(f"eager; not sharded: {settings['optimizer']}, which"), said


def test_two_players_and_a_second_run_are_refused(tmp_path):
    def two(rank):
        network, options = classifier(), TrainingOptions(shard="on", max_epochs=1, batch_size=8)
        run = parted(network=network)
        more = Player("more", network, run.players[0].loss, options, parameters=network.head.parameters())
        run.players.append(more)
        with pytest.raises(SettingError, match="one player that moves the whole network where shard='on', got several"):
            run.run()
        return "refused"

    def again(rank):
        run = parted(max_epochs=1)
        run.run()
        run.options = replace(run.options, shard="auto")
        with pytest.raises(SettingError, match="a trainer that has not run yet, got one that has, sharded"):
            run.run()
        return "refused"

    for work in (two, again):
        said = together(tmp_path / work.__name__, work)[1]
        assert "refused" in [part["said"] for part in said], said


def test_processes_of_different_minds_are_refused(tmp_path):
    said = together(tmp_path, lambda rank: [trainer(shard=["on", "off"][rank]).run()])[1]
    assert any("expected the same shard in all 2 processes, got on, off" in part["said"]["words"] for part in said)


def test_auto_divides_where_training_takes_more_than_its_share_of_memory(tmp_path, monkeypatch):
    needed = sharding.training_bytes(classifier(), "adam")
    assert needed == 16 * sum(p.numel() for p in classifier().parameters())

    def work(rank):
        run = trainer(max_epochs=1)
        run.run()
        return run.players[0].execution

    for memory, words in ((needed * 4, "eager; sharded over 2 processes"), (needed * 4 + 16, "eager")):
        monkeypatch.setattr(sharding, "memory_limit", lambda memory=memory: memory - 8)  # of two processes
        assert {part["said"] for part in together(tmp_path / words, work)[1]} == {words}


def test_alone_a_network_stays_whole():
    run = parted(max_epochs=1)
    run.run()
    assert run.players[0].execution == "eager; not sharded: one process trains"
    assert trained(max_epochs=1).players[0].execution == "eager"


# -- estimators -----------------------------------------------------------------------------------------------------


def table():
    X = torch.randn(150, 3, generator=generator(0)).numpy()
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


SHAPE = {"hidden": (12,), "batch_size": 32, "learning_rate": 0.02, "n_threads": 1, "random_state": 0}


@pytest.mark.parametrize("settings", [{"retrain": "epochs"}, {"retrain": "continue", "optimizer": "adamw"}])
def test_an_estimator_ends_with_a_whole_network_in_every_process(settings, tmp_path):
    def fit(**more):
        model = MLPClassifier(max_epochs=6, early_stopping=True, **SHAPE, **settings, **more).fit(*table())
        return model, {
            "tensors": dict(model.network_.state_dict()),
            "loss": [row["loss"] for row in model.history_],
            "execution": model.execution_,
            "score": model.score(*table()),
        }

    def work(rank):
        model, said = fit(shard="on")
        model.save(tmp_path / f"model-{rank}")
        return said

    said = together(tmp_path / "said", work)[1]
    alone, expected = fit()
    assert said[0]["said"] == said[1]["said"] and said[0]["said"]["execution"] == "eager; sharded over 2 processes"
    assert said[0]["said"]["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    for rank in range(2):
        for name, value in tensors_of(tmp_path / "said", rank).items():
            torch.testing.assert_close(value, alone.network_.state_dict()[name], rtol=1e-3, atol=1e-5)
        assert load(tmp_path / f"model-{rank}").score(*table()) == said[0]["said"]["score"]


def test_partial_fits_keep_the_optimizer_s_memory(tmp_path):
    def fit(**more):
        model = MLPClassifier(**SHAPE, **more)
        for _ in range(3):
            model.partial_fit(*table(), classes=[0, 1])
        return model

    together(tmp_path, lambda rank: {"tensors": dict(fit(shard="on").network_.state_dict())})
    alone = fit().network_.state_dict()
    forgetful = MLPClassifier(**SHAPE).partial_fit(*table(), classes=[0, 1])
    for _ in range(2):
        forgetful.__dict__.pop("_memory")
        forgetful.partial_fit(*table())
    for name, value in tensors_of(tmp_path, 1).items():
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-5)
    assert any((value - alone[name]).abs().max() > 1e-2 for name, value in forgetful.network_.state_dict().items())


def test_an_estimator_whose_weights_are_lost_is_not_fitted(tmp_path):
    def work(rank):
        def fail(run, event):
            if rank == 1 and event == "epoch":
                raise OSError("of this process alone")

        model = MLPClassifier(max_epochs=6, warm_start=True, **SHAPE).fit(*table())
        model.set_params(shard="on")
        try:
            with observed_by(fail):
                model.fit(*table())
        except (OSError, PeerError) as error:
            return [type(error).__name__, hasattr(model, "network_")]

    said = together(tmp_path, work)[1]
    assert [part["said"] for part in said] == [["PeerError", False], ["OSError", False]]


def test_less_memory_is_asked_for_where_it_is_divided():
    def build():
        return nn.Linear(1000, 1000, bias=False)

    here = torch.device("cpu")
    bytes_each = {1: 16, 2: 10, 4: 7}  # the weights whole at both ends, beside a part of them and of adam's memory
    for processes, each in bytes_each.items():
        for memory, fits in ((each * 10**6, True), (each * 10**6 - each, False)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(footprint, "memory_limit", lambda memory=memory: memory)
                with nullcontext() if fits else pytest.raises(SettingError, match="fewer or smaller layers"):
                    footprint.check_footprint(build, optimizer="adam", device=here, processes=processes)
