import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.training.optimizers import OPTIMIZERS, FusedAdam, build_optimizers
from gradus.training.options import TrainingOptions
from training.small import classifier, rows, trainer

plain = {"foreach": False, "fused": False}
# What the names mean, written as a user of torch writes it.
ORACLES = {
    "sgd": lambda p: [torch.optim.SGD(p, lr=0.05, **plain)],
    "momentum": lambda p: [torch.optim.SGD(p, lr=0.05, momentum=0.8, **plain)],
    "nesterov": lambda p: [torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True, **plain)],
    "adagrad": lambda p: [torch.optim.Adagrad(p, lr=0.05, **plain)],
    "rmsprop": lambda p: [torch.optim.RMSprop(p, lr=0.05, foreach=False)],
    "adam": lambda p: [torch.optim.Adam(p, lr=0.05, **plain)],
    "adamw": lambda p: [torch.optim.AdamW(p, lr=0.05, weight_decay=0.0, **plain)],
    "muon": lambda p: [
        torch.optim.Muon(
            [q for q in p if q.ndim == 2],
            lr=0.05,
            momentum=0.8,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW([q for q in p if q.ndim != 2], lr=0.05, weight_decay=0.0, **plain),
    ],
    "lbfgs": lambda p: [torch.optim.LBFGS(p, lr=0.05, line_search_fn="strong_wolfe")],
}


def plain_loop(network, optimizers, batches):
    for batch in batches:
        used = []

        def closure(batch=batch):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = F.cross_entropy(network(batch["inputs"]), batch["targets"])
            loss.backward()
            return loss

        if isinstance(optimizers[0], torch.optim.LBFGS):
            optimizers[0].step(closure)
        else:
            used.append(closure())
            for optimizer in optimizers:
                optimizer.step()


def ten_batches(trained):
    epochs = [list(trained.batches.epoch(e)) for e in range(10)]
    return [batch for epoch in epochs for batch in epoch][:10]


def assert_close(one, other, tolerance):
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


def moved(network, start):
    return max((a - b).abs().max().item() for a, b in zip(network.parameters(), start.parameters(), strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["32", "64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_agree_with_a_plain_loop_with_torchs_own_optimizer(name, dtype, tolerance):
    ours, theirs = classifier(dtype=dtype), classifier(dtype=dtype)
    settings = {"optimizer": name, "learning_rate": 0.05, "momentum": 0.8, "max_steps": 10}
    trained = trainer(network=ours, data=rows(dtype=dtype), **settings)
    plain_loop(theirs, ORACLES[name](list(theirs.parameters())), ten_batches(trained))
    trained.run()
    assert trained.step == 10
    assert moved(ours, classifier(dtype=dtype)) > 0.01
    assert_close(ours, theirs, tolerance)


DECAYING = {
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, **plain),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.05, **plain),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.05, **plain),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=0.05, foreach=False),
    "adagrad": lambda groups: torch.optim.Adagrad(groups, lr=0.05, **plain),
}


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_reaches_matrices_and_leaves_biases(name):
    ours, theirs = classifier(dtype=torch.float64), classifier(dtype=torch.float64)
    settings = {"optimizer": name, "learning_rate": 0.05, "weight_decay": 0.3, "max_steps": 10}
    trained = trainer(network=ours, data=rows(dtype=torch.float64), **settings)
    matrices = [p for n, p in theirs.named_parameters() if n.endswith("weight")]
    biases = [p for n, p in theirs.named_parameters() if n.endswith("bias")]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}]
    plain_loop(theirs, [DECAYING[name](groups)], ten_batches(trained))
    trained.run()
    assert_close(ours, theirs, 1e-12)


def test_muon_decays_its_matrices_and_adamw_the_kernels():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    options = TrainingOptions(optimizer="muon", weight_decay=0.2, learning_rate=0.1)
    found = build_optimizers(network.parameters(), options)
    decay = {id(p): g["weight_decay"] for o in found for g in o.param_groups for p in g["params"]}
    kind = {id(p): type(o).__name__ for o in found for g in o.param_groups for p in g["params"]}
    kernel, kernel_bias, matrix, matrix_bias = network.parameters()
    assert [decay[id(p)] for p in (kernel, kernel_bias, matrix, matrix_bias)] == [0.2, 0.0, 0.2, 0.0]
    assert [kind[id(p)] for p in (kernel, kernel_bias, matrix)] == ["AdamW", "AdamW", "Muon"]


def test_gradient_clipping_is_torchs():
    ours, theirs = classifier(dtype=torch.float64), classifier(dtype=torch.float64)
    settings = {"optimizer": "sgd", "learning_rate": 0.5, "gradient_clip": 0.1, "max_steps": 10}
    trained = trainer(network=ours, data=rows(dtype=torch.float64), **settings)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5)
    norms = []
    for batch in ten_batches(trained):
        optimizer.zero_grad()
        F.cross_entropy(theirs(batch["inputs"]), batch["targets"]).backward()
        norms.append(float(nn.utils.clip_grad_norm_(theirs.parameters(), 0.1)))
        optimizer.step()
    trained.run()
    assert np.median(norms) > 0.2  # the limit bites
    assert_close(ours, theirs, 1e-12)


def test_the_reported_loss_is_the_mean_over_the_epoch_at_the_weights_of_each_step():
    network = classifier(dtype=torch.float64)
    trained = trainer(network=network, data=rows(dtype=torch.float64), optimizer="sgd", max_epochs=2)
    theirs = classifier(dtype=torch.float64)
    optimizer, expected = torch.optim.SGD(theirs.parameters(), lr=1e-3), []
    for epoch in range(2):
        total = 0.0
        for batch in trained.batches.epoch(epoch):
            loss = F.cross_entropy(theirs(batch["inputs"]), batch["targets"], reduction="sum")
            optimizer.zero_grad()
            (loss / len(batch["targets"])).backward()
            optimizer.step()
            total += loss.item()
        expected.append(total / 26)
    trained.run()
    assert [row["loss"] for row in trained.history] == pytest.approx(expected, rel=1e-12)


def test_nothing_to_train_and_settings_an_optimizer_lacks_are_refused():
    frozen = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(InputError, match="a network with a parameter to train, got none; unfreeze"):
        build_optimizers(frozen.parameters(), TrainingOptions())
    with pytest.raises(SettingError, match=r"weight_decay=0 with optimizer='lbfgs', got 0\.1;"):
        build_optimizers(nn.Linear(2, 2).parameters(), TrainingOptions(optimizer="lbfgs", weight_decay=0.1))
    with pytest.raises(SettingError, match="no gradient_clip with optimizer='lbfgs', got 1; its line search"):
        build_optimizers(nn.Linear(2, 2).parameters(), TrainingOptions(optimizer="lbfgs", gradient_clip=1.0))
    with pytest.raises(SettingError, match="momentum above 0 with optimizer='nesterov', got 0"):
        build_optimizers(nn.Linear(2, 2).parameters(), TrainingOptions(optimizer="nesterov", momentum=0.0))


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adam", 0.1), ("adamw", 0.0), ("adamw", 0.1)])
def test_the_short_way_through_fused_adam_is_torchs_to_the_bit(name, decay):
    """Ten steps of `FusedAdam` beside ten of the optimizer alone, with a rate and a decay that change."""
    options = TrainingOptions(optimizer=name, learning_rate=0.05, weight_decay=decay)
    torch.manual_seed(0)
    mine = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))
    theirs = copy.deepcopy(mine)
    short, (first,), (second,) = (
        FusedAdam(),
        build_optimizers(mine.parameters(), options),
        build_optimizers(theirs.parameters(), options),
    )
    taken = 0
    for step in range(10):
        for network, optimizer in ((mine, first), (theirs, second)):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 / (step + 1)
            network.zero_grad()
            network(torch.linspace(-1, 1, 15).reshape(3, 5)).square().sum().backward()
        if short.step([first]):
            taken += 1
        else:
            first.step()
        second.step()
    assert taken == 9, "the first step makes the state, the rest take the short way"
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_short_way_is_not_taken_past_a_hook():
    network = nn.Linear(2, 1)
    (optimizer,) = build_optimizers(network.parameters(), TrainingOptions())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    short = FusedAdam()
    assert short.step([optimizer])
    optimizer.register_step_pre_hook(lambda *_: None)
    assert not short.step([optimizer])
