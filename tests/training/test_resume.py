import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from gradus.core.errors import SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks import CategoricalHead, HeadedNetwork
from gradus.training.checkpoints import CheckpointStore
from gradus.training.losses import Loss, head_loss
from gradus.training.optimizers import OPTIMIZERS
from gradus.training.options import ScheduleName
from training.small import Crash, assert_same, classifier, crash_at, measured, rows, state, trainer

pytestmark = pytest.mark.usefixtures("no_sync")
SCHEDULES = get_args(ScheduleName)
VALID = rows(20, seed=1)


def build(folder=None, *, fresh=0, dropout=0.3, network=None, callbacks=(), **options):
    """Return a trainer of four steps an epoch; ``fresh`` changes the weights that a resumed one must forget."""
    network = classifier(fresh, dropout=dropout) if network is None else network
    settings = {"learning_rate": 0.02, "checkpoint_every": 1, "patience": 50, **options}
    return trainer(folder, network=network, evaluate=measured(VALID), watch=True, callbacks=list(callbacks), **settings)


def interrupted(make, folder, stops):
    """Train in several lives, each ended at one of ``stops``; the last one to the end. Return the last trainer."""
    for life, (event, step) in enumerate(stops):
        torch.manual_seed(1000 + life)  # another life, other global random numbers
        with pytest.raises(Crash):
            make(folder, fresh=life, callbacks=[crash_at(step, event)]).run()
    last = make(folder, fresh=99)
    last.run()
    return last


def everything(optimizer, schedule):
    """The other things that have state, spread over the combinations."""
    number = list(OPTIMIZERS).index(optimizer) + list(SCHEDULES).index(schedule)
    extras = [
        {"average_decay": 0.9},
        {"weight_noise": 0.05, "max_norm": 1.0},
        {"average_decay": 0.5, "weight_noise": 0.02, "l2": 0.01},
        {"warmup_steps": 3, "l1": 0.001, "accumulate": 2},
    ]
    return extras[number % len(extras)]


# Of three epochs of three steps: after the first step, twice within the second epoch, at its edge, and after the last
# step. "tick" comes before the checkpoint of its step: a crash at 2 goes on from step 1.
STOPS = [("tick", 2), ("tick", 5), ("tick", 6), ("epoch", 6), ("epoch", 9)]


@pytest.mark.parametrize(("optimizer", "schedule"), list(product(OPTIMIZERS, SCHEDULES)))
def test_a_training_in_six_lives_ends_in_the_bits_of_one(optimizer, schedule, tmp_path):
    settings = {"optimizer": optimizer, "schedule": schedule, "batch_size": 9, **everything(optimizer, schedule)}
    settings |= {"schedule_epochs": 1, "schedule_factor": 0.5, "monitor": "score"}

    def make(folder=None, **rest):
        built = build(folder, **settings, **rest)
        built.evaluate = lambda network: {**measured(VALID)(network), "loss": 1.0 + built.step}  # a plateau is reached
        return built

    whole = make()  # without a store: checkpoints change nothing either
    whole.run()
    assert whole.step == 9 and len(whole.history) == 3
    assert whole.plateau.factor == (0.5 if schedule == "plateau" else 1.0)
    assert (len({row["learning_rate"] for row in whole.history}) > 1) == (
        schedule in ("step", "cosine", "one_cycle") or "warmup_steps" in settings
    )
    # L-BFGS takes twenty evaluations a step; the slow test below stops it everywhere
    last = interrupted(make, tmp_path, STOPS[1::2] if optimizer == "lbfgs" else STOPS)
    assert_same(state(whole), state(last))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_is_a_place_to_go_on_from(optimizer, tmp_path):
    settings = {"optimizer": optimizer, "schedule": "plateau", "average_decay": 0.8, "schedule_epochs": 1}
    whole = build(**settings)
    whole.run()
    for step in range(2, 13):
        last = interrupted(lambda f, **rest: build(f, **settings, **rest), tmp_path / str(step), [("tick", step)])
        assert last.resumed_from == step - 1
        assert_same(state(whole), state(last))


def test_a_checkpoint_every_third_step_is_as_good(tmp_path):
    whole = build(average_decay=0.9)
    whole.run()
    stops = [("tick", 6), ("epoch", 8), ("tick", 9), ("tick", 12)]
    last = interrupted(lambda f, **rest: build(f, average_decay=0.9, checkpoint_every=3, **rest), tmp_path, stops)
    assert_same(state(whole), state(last))


def test_a_finished_training_is_answered_from_its_checkpoint(tmp_path):
    first = build(tmp_path, average_decay=0.9)
    first.run()
    files = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    second = build(tmp_path, average_decay=0.9, fresh=5)
    assert second.run() == "max_epochs"
    assert_same(state(first), state(second))
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == files


@pytest.mark.parametrize("cut", [{"max_epochs": 2}, {"max_steps": 6}, {"max_steps": 8}, {"max_steps": 1}])
def test_a_larger_budget_goes_on_as_if_it_had_been_so_from_the_start(cut, tmp_path):
    whole = build(average_decay=0.9, schedule="step", schedule_epochs=1)
    whole.run()
    small = build(tmp_path, average_decay=0.9, schedule="step", schedule_epochs=1, **cut)
    assert small.run() == next(iter(cut))
    assert small.step == (8 if "max_epochs" in cut else cut["max_steps"])
    large = build(tmp_path, average_decay=0.9, schedule="step", schedule_epochs=1, fresh=3)
    large.run()
    assert_same(state(whole), state(large))


def test_a_budget_that_cut_an_epoch_is_answered_alike_twice(tmp_path):
    first = build(tmp_path, max_steps=6)
    first.run()
    assert len(first.history) == 2 and "valid_loss" in first.history[1]
    second = build(tmp_path, max_steps=6, fresh=2)
    assert second.run() == "max_steps"
    assert_same(state(first), state(second))


def test_a_spent_time_budget_makes_no_further_step(tmp_path):
    def slow(trained, event):
        if event == "tick":
            trained.elapsed += 10.0  # seconds

    first = build(tmp_path, max_time=35.0, callbacks=[slow])
    assert first.run() == "max_time" and first.step == 4
    second = build(tmp_path, max_time=35.0)
    assert second.run() == "max_time"
    assert second.step == 4
    third = build(tmp_path, max_time=3500.0)
    third.run()
    whole = build()
    whole.run()
    assert_same(state(whole), state(third))


@pytest.mark.parametrize("stop", [3, 5, 9, 13])
def test_patience_is_counted_across_lives(stop, tmp_path):
    values = {1: 1.0, 2: 0.5, 3: 0.7, 4: 0.6, 5: 0.8, 6: 0.1}

    def make(folder=None, *, fresh=0, callbacks=(), **rest):
        built = build(folder, fresh=fresh, patience=3, max_epochs=20, callbacks=callbacks, **rest)
        built.evaluate = lambda network: {"loss": values[built.step // 4], "score": 0.0}
        return built

    whole = make()
    assert whole.run() == "early_stopping"
    assert [row["valid_loss"] for row in whole.history] == [1.0, 0.5, 0.7, 0.6, 0.8]
    last = interrupted(make, tmp_path, [("tick", stop), ("tick", stop + 2)])
    assert last.finished == "early_stopping"
    assert_same(state(whole), state(last))
    again = make(tmp_path)  # stopping early is final
    assert again.run() == "early_stopping"
    assert_same(state(whole), state(again))


class WithBuffers(nn.Module):
    """Convolutions in channels-last order, batch normalization, dropout: everything with a layout or a buffer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(5, 4, 3), nn.Flatten()
        )

    def forward(self, inputs):
        return self.layers(inputs)


@pytest.mark.parametrize("optimizer", ["momentum", "rmsprop", "adam", "muon", "lbfgs"])
def test_running_means_and_channels_last_moments_come_back(optimizer, tmp_path):
    images = torch.randn(26, 2, 6, 6, generator=generator(0)).to(memory_format=torch.channels_last)
    data = {"inputs": images, "targets": torch.arange(26) % 3}

    def make(folder=None, *, fresh=0, callbacks=()):
        with isolated(fresh):
            network = HeadedNetwork(None, WithBuffers(), CategoricalHead(16, 3)).to(memory_format=torch.channels_last)
        settings = {"optimizer": optimizer, "learning_rate": 0.02, "average_decay": 0.9, "checkpoint_every": 1}
        settings |= {"batch_size": 13, "max_epochs": 3}
        valid = {name: tensor[:7] for name, tensor in data.items()}
        return trainer(
            folder,
            network=network,
            data=data,
            evaluate=measured(valid),
            watch=True,
            callbacks=list(callbacks),
            **settings,
        )

    whole = make()
    whole.run()
    assert whole.network.body.layers[1].num_batches_tracked > 0
    last = interrupted(make, tmp_path, [("tick", 2), ("epoch", 4)])
    assert_same(state(whole), state(last))
    kernel = last.network.body.layers[4].weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    moments = [v for o in last.players[0].optimizers for v in o.state.get(kernel, {}).values()]
    shaped = [m for m in moments if isinstance(m, torch.Tensor) and m.shape == kernel.shape]
    assert all(m.stride() == kernel.stride() for m in shaped) and (shaped or optimizer == "lbfgs")


def test_a_loss_with_state_and_weights_that_count_comes_back(tmp_path):
    class Chain:
        """A loss that remembers: a random walk added to the logits, and draws from the player's generator."""

        def __init__(self, head):
            self.head, self.walk = head, torch.zeros(3)

        def __call__(self, network, batch, source):
            self.walk = self.walk + 0.1 * torch.randn(3, generator=source)
            each = self.head.losses(network(batch["inputs"]) + self.walk, batch["targets"])
            return Loss((each * batch["weights"]).sum(), batch["weights"].sum(), {})

        def state_dict(self):
            return {"walk": self.walk}

        def load_state_dict(self, saved):
            self.walk = saved["walk"]

    data = {**rows(), "weights": torch.rand(26, generator=generator(5)) / 3}

    def make(folder=None, *, fresh=0, callbacks=()):
        network = classifier(fresh, dropout=0.3)
        return trainer(
            folder,
            network=network,
            data=data,
            loss=Chain(network.head),
            batch_size=9,
            checkpoint_every=1,
            callbacks=list(callbacks),
        )

    whole = make()
    whole.run()
    last = interrupted(make, tmp_path, STOPS)
    assert_same(state(whole), state(last))
    assert torch.equal(whole.players[0].loss.walk, last.players[0].loss.walk)


def test_callbacks_that_draw_and_predict_at_odd_moments_change_nothing(tmp_path):
    def meddling(trained, event):
        torch.rand(3)
        trained.network.eval()

    calm, disturbed = build(), build(tmp_path, callbacks=[meddling])
    calm.run()
    disturbed.run()
    assert_same(state(calm), state(disturbed))


def test_the_precision_that_was_chosen_there_is_used_here(tmp_path):
    with pytest.raises(Crash):
        build(tmp_path, precision="bf16", callbacks=[crash_at(6)]).run()
    last = build(tmp_path, precision="float32", fresh=1)
    last.run()
    whole = build(precision="bf16")
    whole.run()
    assert last.options.precision == "bf16"
    assert_same(state(whole), state(last))


@pytest.mark.parametrize(
    "other",
    [
        {"tag": "other data"},
        {"seed": 1},
        {"batch_size": 4},
        {"network": "wider"},
        {"optimizer": "momentum"},
        {"optimizer": "muon"},
    ],
    ids=["tag", "order", "batches", "shape", "optimizer", "two optimizers"],
)
def test_a_checkpoint_of_another_training_is_refused_in_one_sentence(other, tmp_path):
    with pytest.raises(Crash):
        build(tmp_path, callbacks=[crash_at(6)]).run()
    if other.get("network") == "wider":
        with isolated(0):
            other = {"network": HeadedNetwork(None, nn.Linear(4, 9), CategoricalHead(9, 3))}
    with pytest.raises(SettingError) as caught:
        build(tmp_path, **other).run()
    text = str(caught.value)
    assert text.startswith("expected a checkpoint of the same data and settings, got one of others in ")
    assert "name an empty folder" in text and "\n" not in text


@pytest.mark.parametrize("file", ["model.safetensors", "state.safetensors", "state.json", "manifest.json"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_named(file, tmp_path):
    with pytest.raises(Crash):
        build(tmp_path, average_decay=0.9, callbacks=[crash_at(7)]).run()
    assert CheckpointStore(tmp_path).steps()[-1] == 6
    path = tmp_path / "step_6" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    last = build(tmp_path, average_decay=0.9, fresh=4)
    with pytest.warns(UserWarning, match=rf"step_6/{file}.*went back to the checkpoint of step 5"):
        last.run()
    whole = build(average_decay=0.9)
    whole.run()
    assert last.resumed_from == 5
    assert_same(state(whole), state(last))
    with pytest.MonkeyPatch.context() as patch:  # the damaged one was replaced on the way: no more warnings
        patch.setattr("warnings.warn", lambda *a, **k: pytest.fail("a warning"))
        build(tmp_path, average_decay=0.9).run()


THREADED = """
import json, sys, torch
sys.path.insert(0, {tests!r})
from training.test_resume import threaded, digest
found = []
last = threaded({folder!r}, n_threads=1, callbacks=[lambda t, e: found.append(torch.get_num_threads())])
before = torch.get_num_threads()
last.run()
print(json.dumps([before, sorted(set(found)), torch.get_num_threads(), last.n_threads, digest(last)]))
"""


def threaded(folder=None, *, n_threads, callbacks=()):
    """A network whose layer normalization sums its gradient over rows in another order on two threads than on one."""
    with isolated(0):
        body = nn.Sequential(nn.LayerNorm(300), nn.Linear(300, 20), nn.Tanh())
        network = HeadedNetwork(None, body, CategoricalHead(20, 3))
    data = {"inputs": torch.randn(512, 300, generator=generator(0)), "targets": torch.arange(512) % 3}
    settings = {"batch_size": 256, "max_epochs": 3, "optimizer": "sgd", "checkpoint_every": 1}
    return trainer(
        folder,
        network=network,
        data=data,
        loss=head_loss(network.head),
        callbacks=list(callbacks),
        computing_threads=n_threads,
        **settings,
    )


def digest(trained):
    return [float(p.detach().double().sum()).hex() for p in trained.network.parameters()]


@pytest.fixture
def begun_on_two(tmp_path):
    """A training that begun on two threads and crashed, and the bits it is to end in."""
    whole = {n: threaded(n_threads=n) for n in (1, 2)}
    for trained in whole.values():
        trained.run()
    assert digest(whole[1]) != digest(whole[2])  # else nothing would show
    with pytest.raises(Crash):
        threaded(tmp_path, n_threads=2, callbacks=[crash_at(3)]).run()
    return tmp_path, digest(whole[2])


def test_the_number_of_threads_is_that_of_the_first_life(begun_on_two):
    folder, wanted = begun_on_two
    during, before = set(), torch.get_num_threads()
    last = threaded(folder, n_threads=1, callbacks=[lambda t, event: during.add(torch.get_num_threads())])
    last.run()
    assert (during, last.n_threads, torch.get_num_threads()) == ({2}, 2, before)
    assert digest(last) == wanted


@pytest.mark.slow
def test_the_number_of_threads_is_stronger_than_the_environment(begun_on_two):
    folder, wanted = begun_on_two
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    script = THREADED.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, [2], 1, 2, wanted]
