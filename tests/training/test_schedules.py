import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.schedules import factor, plateau_init, plateau_step
from training.small import classifier, rows, trainer


def optimizer():
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def torchs(scheduler, steps):
    """The rates torch's scheduler sets for steps 0 .. steps - 1."""
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no optimizer step came before
        for step in range(steps):
            rates.append(scheduler.optimizer.param_groups[0]["lr"])
            if step < steps - 1:
                scheduler.step()
    return rates


def ours(options, steps, per_epoch=1):
    return [factor(options, step, steps, per_epoch) for step in range(steps)]


def test_constant_is_one():
    assert ours(TrainingOptions(), 5) == [1.0] * 5


def test_step_cuts_as_torchs_once_every_so_many_epochs():
    options = TrainingOptions(schedule="step", schedule_epochs=3, schedule_factor=0.5)
    wanted = torchs(StepLR(optimizer(), 3, 0.5), 11)
    assert ours(options, 44, per_epoch=4) == pytest.approx([rate for rate in wanted for _ in range(4)])


@pytest.mark.parametrize("total", [1, 2, 7, 50])
def test_cosine_is_torchs(total):
    assert ours(TrainingOptions(schedule="cosine"), total) == pytest.approx(
        torchs(CosineAnnealingLR(optimizer(), total), total)
    )


@pytest.mark.parametrize("total", [2, 3, 4, 10, 37, 100])
def test_one_cycle_is_torchs(total):
    wanted = torchs(OneCycleLR(optimizer(), max_lr=1.0, total_steps=total, cycle_momentum=False), total)
    assert ours(TrainingOptions(schedule="one_cycle"), total) == pytest.approx(wanted)


def test_warm_up_is_torchs_linear_rise_to_the_schedule_that_follows():
    options = TrainingOptions(schedule="cosine", warmup_steps=4)
    base = optimizer()
    rise, rest = LinearLR(base, start_factor=1 / 5, total_iters=4), CosineAnnealingLR(base, 16)
    assert ours(options, 20) == pytest.approx(torchs(SequentialLR(base, [rise, rest], milestones=[4]), 20))
    assert ours(options, 20)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


losses = st.lists(st.floats(0.01, 10) | st.sampled_from([1.0, 0.99995, 0.5, math.nan]), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(losses=losses, patience=st.integers(1, 4))
def test_plateau_is_torchs_for_positive_losses(losses, patience):
    options = TrainingOptions(schedule="plateau", schedule_epochs=patience, schedule_factor=0.5)
    base, state = optimizer(), plateau_init()
    scheduler = ReduceLROnPlateau(base, factor=0.5, patience=patience, eps=0.0)
    for loss in losses:
        scheduler.step(loss)
        state = plateau_step(state, loss, options)
        assert state.factor == pytest.approx(base.param_groups[0]["lr"])


def test_a_negative_loss_that_gets_slightly_worse_is_no_gain():
    options = TrainingOptions(schedule="plateau", schedule_epochs=1, schedule_factor=0.5)
    state = plateau_init()
    for loss in (-10.0, -9.9995, -9.9994):
        state = plateau_step(state, loss, options)
    assert state.factor == 0.5 and state.best == -10.0
    assert plateau_step(plateau_step(plateau_init(), -10.0, options), -10.1, options).best == -10.1


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_the_loop_sets_the_rate_of_every_optimizer_and_group_each_step(name):
    network, seen, groups = classifier(), [], []

    def loss(network, batch, generator):
        seen.append({group["lr"] for group in groups})
        return head_loss(network.head)(network, batch, generator)

    options = {"schedule": "cosine", "warmup_steps": 2, "optimizer": name, "weight_decay": 0.1}
    trained = trainer(network=network, loss=loss, max_epochs=2, learning_rate=0.2, **options)
    groups += [g for o in trained.players[0].optimizers for g in o.param_groups]
    trained.run()
    wanted = [0.2 * factor(trained.options, step, 8, 4) for step in range(8)]
    assert len(groups) > 1 and all(len(rates) == 1 for rates in seen)
    assert [rate for rates in seen for rate in rates] == pytest.approx(wanted)
    assert [row["learning_rate"] for row in trained.history] == pytest.approx([wanted[3], wanted[7]])


def test_the_loop_lowers_the_rate_when_validation_stalls():
    values = iter([3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    trained = trainer(
        data=rows(8),
        max_epochs=7,
        schedule="plateau",
        schedule_epochs=1,
        schedule_factor=0.1,
        learning_rate=1.0,
        evaluate=lambda network: {"loss": next(values), "score": 0.0},
    )
    trained.run()
    rates = [row["learning_rate"] for row in trained.history]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01])
