"""Training on cuda: recorded steps equal plain ones, checkpoints, precision, and what moves between devices.

Run on a machine with a CUDA device: ``pytest tests/gpu``. It needs no file of the other tests' set-up, so
``--noconftest`` serves where beartype is not installed.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gradus
from gradus import MLPClassifier
from gradus.core.errors import NonFiniteError
from gradus.core.randomness import default_generator, generator, isolated
from gradus.data.batches import OnDevice, TensorBatches
from gradus.networks import CategoricalHead, HeadedNetwork, PixelScale
from gradus.networks.convolutional import ResNet
from gradus.training import probes
from gradus.training.losses import Loss, head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from gradus.training.probes import choose_compile, choose_threads
from training.small import Crash, classifier, crash_at, measured, rows, trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CUDA = torch.device("cuda", 0)
# Steps are taken in another order of sums by no side: kernels are the same, so only what atomics shuffle may differ.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def there(tensors):
    return {name: tensor.to(CUDA) for name, tensor in tensors.items()}


def on_cuda(folder=None, *, network=None, dropout=0.3, n=50, normalization=None, data=None, **settings):
    """A trainer on the device: 50 rows in batches of 8, so the last of an epoch has 2."""
    if network is None:
        network = classifier(dropout=dropout, normalization=normalization)
    data = there(rows(n)) if data is None else data
    return trainer(folder, network=network.to(CUDA), data=data, **{"max_epochs": 8, "learning_rate": 0.01, **settings})


def losses(trained):
    return [row["loss"] for row in trained.history]


def pictures(n=96, seed=0):
    source = generator(seed)
    images = torch.randint(0, 256, (n, 12, 12, 1), generator=source, dtype=torch.uint8)
    return {"inputs": images, "targets": (images.float().mean((1, 2, 3)) * 10).long() % 3}


def residual(seed=0, dropout=0.0):
    with isolated(seed):
        body = ResNet(1, depth=1, width=8, dropout=dropout)
        prepare = PixelScale.from_data(pictures()["inputs"])
        return HeadedNetwork(prepare, body, CategoricalHead(body.out_features, 3)).to(CUDA)


def player_of(network, loss=None, **settings):
    loss = head_loss(network.head) if loss is None else loss
    return Player("network", network, loss, TrainingOptions(**{"learning_rate": 0.01, **settings}), seed=3)


def after(steps, network, data, size=8, loss=None, **settings):
    """Take steps on the device; return the player."""
    player = player_of(network, loss, **settings)
    batches, taken = TensorBatches(data, batch_size=size, seed=5), 0
    with isolated(11, CUDA):
        while taken < steps:
            for batch in batches.epoch(taken // len(batches)):
                if taken < steps:
                    player.update(batch, taken, 1.0)
                    taken += 1
    torch.cuda.synchronize()
    return player


def assert_weights(one, other, **tolerance):
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda m, name=name: f"{name}: {m}", **(tolerance or CLOSE))


# -- recorded steps -------------------------------------------------------------------------------------------------


SETTINGS = [
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_steps": 5, "gradient_clip": 0.5},
    {"optimizer": "sgd", "schedule": "one_cycle", "l1": 0.001, "l2": 0.01},
    {"optimizer": "momentum", "average_decay": 0.9, "max_norm": 1.0},
    {"optimizer": "nesterov", "accumulate": 3},
    {"optimizer": "adam", "weight_noise": 0.05, "schedule": "step", "schedule_epochs": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_recorded_steps_draw_and_learn_what_plain_steps_do(settings):
    runs = []
    for recorded in (True, False):
        run = on_cuda(cuda_graphs=recorded, **settings)
        run.run()
        runs.append(run)
    assert runs[0].players[0].execution == "eager; CUDA graph: 45 of 56 steps"  # 3 to warm up, 8 that are smaller
    assert runs[1].players[0].execution == "eager; no CUDA graph: cuda_graphs is off"
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-4)
    assert_weights(runs[0].network, runs[1].network, rtol=1e-4, atol=1e-5)


def test_training_that_goes_on_after_its_end_draws_anew():
    runs = []
    for recorded in (True, False):
        run = on_cuda(cuda_graphs=recorded, dropout=0.5, max_epochs=3)
        run.run()
        run.options, run.finished = replace(run.options, max_epochs=6), None
        run.network.train()
        run.run()
        runs.append(run)
    assert_weights(runs[0].network, runs[1].network, rtol=1e-4, atol=1e-5)


def test_fifty_recorded_steps_of_a_residual_network_end_where_plain_ones_do():
    ends, words = [residual() for _ in range(2)], []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for network, recorded in zip(ends, (True, False), strict=True):
            words.append(after(50, network, there(pictures()), 16, cuda_graphs=recorded).execution)
    assert "CUDA graph: 47 of 50" in words[0]
    assert_weights(*ends)  # statistics of the normalization included
    start = residual()
    moved = max((a - b).abs().max().item() for a, b in zip(start.parameters(), ends[0].parameters(), strict=True))
    assert moved > 0.05


def test_a_loss_draws_anew_in_every_replay():
    drawn = torch.zeros(1, device=CUDA)

    def noisy(network, batch, source):
        drawn.copy_(torch.rand(1, generator=source, device=CUDA))
        return head_loss(network.head)(network, batch, source)

    network = classifier().to(CUDA)
    player, found = player_of(network, noisy), []
    for step, batch in enumerate(TensorBatches(there(rows(96)), batch_size=8).epoch(0)):
        player.update(batch, step, 1.0)
        found.append(drawn.item())
    source = generator(3, CUDA)
    assert player.execution == "eager; CUDA graph: 9 of 12 steps"
    assert found == [torch.rand(1, generator=source, device=CUDA).item() for _ in found]


def test_two_players_are_recorded_each():
    def build(recorded):
        with isolated(0):
            network = nn.ModuleDict({"made": nn.Linear(1, 1), "critic": nn.Linear(1, 1)}).to(CUDA)

        def judge(net, batch, source):
            false = net["critic"](net["made"](torch.randn(8, 1, generator=source, device=CUDA)).detach())
            total = nn.functional.softplus(-net["critic"](batch["inputs"])) + nn.functional.softplus(false)
            return Loss(total.sum(), 8.0, {})

        def fool(net, batch, source):
            made = net["made"](torch.randn(8, 1, generator=source, device=CUDA))
            return Loss(nn.functional.softplus(-net["critic"](made)).sum(), 8.0, {})

        options = TrainingOptions(learning_rate=0.05, cuda_graphs=recorded)
        players = [
            Player(name, network, loss, options, parameters=network[name].parameters(), seed=seed)
            for name, loss, seed in (("critic", judge, 1), ("made", fool, 2))
        ]
        batches = TensorBatches({"inputs": torch.full((200, 1), 2.0, device=CUDA)}, batch_size=8)
        for step, batch in enumerate(batches.epoch(0)):
            for player in players:
                player.update(batch, step, 1.0)
        return network, players

    (one, players), (other, _) = build(True), build(False)
    assert [player._graph.replays for player in players] == [22, 22]
    assert_weights(one, other)


seen = []


def waiting(network, batch, source):
    loss = head_loss(network.head)(network, batch, source)
    seen.append(loss.total.item())
    return loss


def on_the_processor(network, batch, source):
    torch.rand(1)
    return head_loss(network.head)(network, batch, source)


class Remembering:
    """A loss with a memory of its own."""

    def __call__(self, network, batch, source):
        return head_loss(network.head)(network, batch, source)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@pytest.mark.parametrize(
    ("loss", "settings", "why"),
    [
        (waiting, {}, "the step waits for the device"),
        (on_the_processor, {}, "the step draws random numbers on the processor"),
        (Remembering(), {}, "the loss keeps state in Python"),
        (None, {"optimizer": "rmsprop"}, "rmsprop does not read its learning rate from the device"),
        (None, {"optimizer": "muon"}, "muon does not read"),
        (None, {"optimizer": "adagrad"}, "adagrad does not read"),
        (None, {"optimizer": "lbfgs"}, "lbfgs does not read"),
    ],
)
def test_what_cannot_be_recorded_says_why_and_trains_all_the_same(loss, settings, why):
    network = classifier(dropout=0.2).to(CUDA)
    player = after(8, network, there(rows(32)), loss=loss, **settings)
    assert f"no CUDA graph: {why}" in player.execution
    assert torch.isfinite(torch.stack(player.totals)).all() and len(player.totals) == 8


def test_a_hook_is_called_at_every_step_from_its_registration_on():
    network, heard, steps = classifier().to(CUDA), [], []
    player = player_of(network)
    for step, batch in enumerate(TensorBatches(there(rows(120)), batch_size=8).epoch(0)):
        if step == 6:
            handle = network.body.register_forward_hook(lambda *_, at=steps: heard.append(len(at)))
        if step == 9:
            handle.remove()
        player.update(batch, step, 1.0)
        steps.append(step)
    assert heard == [6, 7, 8] and player._graph.replays == 15 - 3 - 3


def test_a_frozen_parameter_stays_where_it_is_though_recorded_steps_moved_it():
    network = classifier().to(CUDA)
    player = player_of(network)
    for step, batch in enumerate(TensorBatches(there(rows(80)), batch_size=8).epoch(0)):
        if step == 6:
            network.head.requires_grad_(False)
            kept = network.head.linear.weight.clone()
        player.update(batch, step, 1.0)
    assert torch.equal(network.head.linear.weight, kept)


# -- positions, checkpoints, precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "plain"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "adagrad", "muon"])
def test_a_stopped_training_goes_on_to_the_same_bits(optimizer, recorded, tmp_path):
    settings = {"optimizer": optimizer, "cuda_graphs": recorded, "schedule": "cosine", "average_decay": 0.9}
    settings |= {"evaluate": measured(there(rows(20, 1))), "watch": True, "patience": 50}
    whole = on_cuda(normalization="batch", **settings)
    whole.run()
    for stop in (17, 33):
        with pytest.raises(Crash):
            on_cuda(tmp_path, normalization="batch", checkpoint_every=1, callbacks=[crash_at(stop)], **settings).run()
    last = on_cuda(tmp_path, normalization="batch", checkpoint_every=1, **settings)
    last.run()
    assert last.resumed_from == 32
    # matrix products, normalization of rows and the optimizers' kernels use no atomics
    assert_weights(whole.network, last.network, rtol=0, atol=0)
    assert losses(whole) == losses(last)


def test_a_training_moves_between_devices(tmp_path):
    settings = {"checkpoint_every": 1, "average_decay": 0.9}
    for stop, device in ((9, "cpu"), (20, "cuda"), (30, "cpu")):
        network = classifier().to(device)
        data = {name: tensor.to(device) for name, tensor in rows(50).items()}
        run = trainer(tmp_path, network=network, data=data, max_epochs=8, callbacks=[crash_at(stop)], **settings)
        with pytest.raises(Crash):
            run.run()
    last = trainer(tmp_path, network=classifier().to(CUDA), data=there(rows(50)), max_epochs=8, **settings)
    last.run()
    whole = trainer(data=rows(50), max_epochs=8, average_decay=0.9)
    whole.run()
    assert last.resumed_from == 29
    assert_weights(last.network.cpu(), whole.network, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "plain"])
def test_bf16_learns_and_keeps_weights_in_single_precision(recorded):
    network = residual()
    player = after(60, network, there(pictures()), 16, precision="bf16", cuda_graphs=recorded)
    first, last = (float(torch.stack(part).sum()) for part in (player.totals[:6], player.totals[-6:]))
    assert last < 0.8 * first
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert ("CUDA graph: 57 of 60" in player.execution) == recorded


def test_bf16_recorded_is_bf16_plain():
    ends = [classifier(dropout=0.3).to(CUDA) for _ in range(2)]
    for network, recorded in zip(ends, (True, False), strict=True):
        after(40, network, there(rows(48)), precision="bf16", cuda_graphs=recorded)
    assert_weights(*ends)


def test_a_loss_that_is_not_finite_stops_a_recorded_training_with_the_last_good_weights():
    data = rows(50)
    data["inputs"][7] = torch.nan
    network = classifier().to(CUDA)
    start = copy.deepcopy(network.state_dict())
    with pytest.raises(NonFiniteError, match="finite loss, got NaN or infinity at step"):
        on_cuda(network=network, data=there(data)).run()
    assert all(torch.equal(value, start[name]) for name, value in network.state_dict().items())


def test_global_generators_are_left_as_they_were():
    torch.cuda.manual_seed(5)
    before = default_generator(CUDA).get_state()
    assert torch.equal(before, torch.cuda.get_rng_state(CUDA))
    on_cuda().run()
    assert torch.equal(default_generator(CUDA).get_state(), before)
    with isolated(9, CUDA):
        first = torch.rand(3, device=CUDA)
    with isolated(9, CUDA):
        assert torch.equal(torch.rand(3, device=CUDA), first)


# -- compiled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "plain"])
def test_compiled_steps_end_near_plain_ones_under_the_same_names(recorded):
    ends = [residual() for _ in range(2)]
    player = after(20, ends[0], there(pictures()), 16, compile="on", cuda_graphs=recorded, optimizer="momentum")
    after(20, ends[1], there(pictures()), 16, cuda_graphs=False, optimizer="momentum")
    assert player.execution.startswith("compiled; ")
    assert ("CUDA graph: 17 of 20" in player.execution) == recorded
    assert list(ends[0].state_dict()) == list(residual().state_dict())
    assert_weights(*ends, rtol=1e-2, atol=1e-3)
    assert ends[0]._compiled_call_impl is None


def test_auto_compiles_no_short_training():
    network, batch = residual(), there(pictures(16))
    assert choose_compile(network, head_loss(network.head), batch, "auto", steps=1000, bf16=False) == "off"
    assert choose_threads(network, head_loss(network.head), batch, "auto") == torch.get_num_threads()


def test_auto_times_both_sides_of_a_long_training(monkeypatch):
    network, batch = residual(), there(pictures(16))
    taken = {False: 1.0, True: 0.95}
    monkeypatch.setattr(probes, "_recorded_seconds", lambda *_, compiled, **__: taken[compiled])
    for faster, answer in ((0.95, "off"), (0.8, "on")):
        monkeypatch.setattr(probes, "_compiled", {})
        taken[True] = faster
        assert choose_compile(network, head_loss(network.head), batch, "auto", steps=1000, bf16=False) == answer


# -- estimators -----------------------------------------------------------------------------------------------------


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, np.array(["no", "yes", "perhaps"])[(X @ rng.normal(size=(6, 3))).argmax(1)]


def fitted(device="cuda", **settings):
    X, y = table()
    base = {"hidden": (32,), "max_epochs": 15, "learning_rate": 0.01, "random_state": 0, "device": device}
    return MLPClassifier(**base | settings).fit(X[:500], y[:500], X_val=X[500:], y_val=y[500:])


def test_a_model_fitted_on_cuda_answers_on_the_processor_as_it_did_there(tmp_path):
    model = fitted(dropout=0.1)
    assert next(model.network_.parameters()).device == CUDA and "CUDA graph: " in model.execution_
    X, y = table()
    assert model.score(X[500:], y[500:]) > 0.85
    model.save(tmp_path)
    loaded = gradus.load(tmp_path)
    assert next(loaded.network_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(model.predict_proba(X), loaded.predict_proba(X), atol=1e-4)
    assert (model.predict(X) == loaded.predict(X)).mean() > 0.999


def test_a_model_fitted_on_cuda_is_about_the_one_fitted_on_the_processor():
    X, _ = table()
    np.testing.assert_allclose(fitted().predict_proba(X), fitted("cpu").predict_proba(X), atol=0.02)


def test_data_that_the_device_does_not_hold_stay_where_they_are(monkeypatch):
    plain = fitted()
    monkeypatch.setattr("gradus.core.devices.DATA_SHARE", 0.0)
    kinds = []
    monkeypatch.setattr(
        "gradus.estimators.gradient.OnDevice", lambda *given: kinds.append(given[1]) or OnDevice(*given)
    )
    moved = fitted()
    assert kinds == [CUDA]
    X, _ = table()
    np.testing.assert_allclose(plain.predict_proba(X), moved.predict_proba(X), atol=1e-4)


def test_partial_fit_and_early_stopping_work_on_cuda():
    X, y = table()
    model = MLPClassifier(hidden=(16,), batch_size=32, random_state=0, device="cuda")
    for _ in range(3):
        model.partial_fit(X, y, classes=["no", "perhaps", "yes"])
    assert model.n_steps_ == 3 * 19 and model.score(X, y) > 0.5
    stopped = fitted(max_epochs=200, patience=2, precision="auto", compile="auto")
    assert stopped.stopped_by_ == "early_stopping" and stopped.best_epoch_ >= 0
