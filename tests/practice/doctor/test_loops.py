"""Rules of the user's own step: who moves what, what is cleared, in which mode, and what is entered around a step."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, causes, measured, patient
from gradus.practice.doctor.checks_step import check_step, has_players, in_order
from gradus.practice.doctor.checks_training import check_training
from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.task import Task
from gradus.practice.doctor.trial import quiet, run_trial

# -- gradients that are never cleared --------------------------------------------------------------------------------


def by_optimizer(network, optimizer, call):
    optimizer.zero_grad()


def by_network(network, optimizer, call):
    network.zero_grad(set_to_none=False)


def by_hand(network, optimizer, call):
    for p in network.parameters():
        p.grad = None


def by_zeros(network, optimizer, call):
    for p in network.parameters():
        if p.grad is not None:
            p.grad.zero_()


def never(network, optimizer, call):
    pass


def each_epoch(network, optimizer, call):
    if call % 20 == 0:
        optimizer.zero_grad()


def clearing(clear, after=False):
    calls = [0]

    def step(network, batch, optimizer, loss):
        if not after:
            clear(network, optimizer, calls[0])
        value = loss(network(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        if after:
            clear(network, optimizer, calls[0])
        calls[0] += 1
        return value

    return patient(step=step)


@pytest.mark.parametrize("clear", [never, each_epoch])
def test_gradients_that_are_never_cleared(clear):
    assert causes(check_step(clearing(clear))) == ["missing_zero_grad"]


@pytest.mark.parametrize("clear", [by_optimizer, by_network, by_hand, by_zeros])
@pytest.mark.parametrize("after", [False, True])
def test_gradients_may_be_cleared_in_any_way(clear, after):
    assert causes(check_step(clearing(clear, after))) == []


@pytest.mark.parametrize(
    "clip", [lambda ps: nn.utils.clip_grad_norm_(ps, 1.0), lambda ps: nn.utils.clip_grad_value_(ps, 0.5)]
)
@pytest.mark.parametrize(("clear", "missed"), [(never, True), (by_hand, False), (by_zeros, False)])
def test_clipping_is_not_clearing(clip, clear, missed):
    def step(network, batch, optimizer, loss):
        clear(network, optimizer, 0)
        loss(network(batch[0]), batch[1]).backward()
        clip(network.parameters())
        optimizer.step()

    assert ("missing_zero_grad" in causes(check_step(patient(step=step)))) is missed


@pytest.mark.parametrize("every", [4, 16])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_that_are_added_up_without_a_share(every, shared):
    calls = [0]

    def step(network, batch, optimizer, loss):
        value = loss(network(batch[0]), batch[1])
        (value / every if shared else value).backward()
        calls[0] += 1
        if calls[0] % every == 0:
            optimizer.step()
            optimizer.zero_grad()

    assert causes(check_step(patient(step=step))) == ([] if shared else ["accumulation_unscaled"])


# -- the order of a step ---------------------------------------------------------------------------------------------


def step_of(order):
    """Return a step that does what ``order`` says: clear, go back, step."""

    def step(network, batch, optimizer, loss):
        for name in order:
            if name == "z":
                optimizer.zero_grad()
            elif name == "b":
                loss(network(batch[0]), batch[1]).backward()
            elif name == "c":
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            else:
                optimizer.step()

    return step


@pytest.mark.parametrize(
    ("order", "right"),
    [("zbs", True), ("zbcs", True), ("bsz", False), ("bzs", False), ("zbbs", False), ("zbsbs", False), ("zsb", False),
     ("zb", False), ("bs", False)],
)  # fmt: skip
def test_what_is_in_order(order, right):
    assert in_order(patient(step=step_of(order))) is right


def test_a_step_that_fails_is_not_in_order():
    def step(network, batch, optimizer, loss):
        raise ValueError("no")

    assert not in_order(patient(step=step))


# -- players ---------------------------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.d = nn.Linear(4, 10), nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.d(x)


def game(clears="gd", frozen=False, freed=True, apart=True, every=1):
    """Return a maker and a judge that take turns, each with its optimizer.

    Parameters
    ----------
    clears : str
        Whose gradients are cleared before its turn.
    frozen, freed : bool
        Whether the judge is held fast in the maker's turn, and freed again in its own.
    apart : bool
        Whether the judge's turn leaves the maker's gradients alone.
    every : int
        The maker's turn comes each so many batches.
    """
    network = Pair()
    g, d = (torch.optim.Adam(part.parameters(), lr=1e-3) for part in (network.g, network.d))
    calls = [0]

    def step(network, batch, optimizer, loss):
        if freed:
            network.d.requires_grad_(True)
        fake = network.g(torch.randn(len(batch[0]), 4))
        if "d" in clears:
            d.zero_grad()
        judged = F.softplus(-network.d(batch[0])) + F.softplus(network.d(fake.detach() if apart else fake))
        judged.mean().backward(retain_graph=not apart)
        d.step()
        calls[0] += 1
        if calls[0] % every:
            return
        if frozen:
            network.d.requires_grad_(False)
        if "g" in clears:
            g.zero_grad()
        F.softplus(-network.d(network.g(torch.randn(len(batch[0]), 4)))).mean().backward()
        g.step()

    def objective(network, batch):
        return F.softplus(-network(batch[0])).mean()

    (x, _), (valid, _) = measured()
    return patient(network, ((x, x), (valid, valid)), objective=objective, step=step, optimizer=[g, d])


@pytest.mark.parametrize("parts", [{}, {"apart": False}, {"frozen": True}, {"every": 5}])
def test_players_that_take_turns(parts):
    assert has_players(game(**parts | {"every": 1}))
    assert causes(check_step(game(**parts))) == []


def test_a_judge_that_is_never_freed_again():
    assert causes(check_step(game(frozen=True, freed=False, apart=False))) == ["unbalanced_players"]


@pytest.mark.parametrize("clears", ["", "d", "g"])
def test_a_player_whose_gradients_are_never_cleared(clears):
    assert "missing_zero_grad" in causes(check_step(game(clears=clears)))


# -- parameters that stop --------------------------------------------------------------------------------------------


def changing(change):
    """Return a patient whose step changes something before each call, by the number of the call."""
    calls = [0]

    def step(network, batch, optimizer, loss):
        change(network, optimizer, calls[0])
        calls[0] += 1
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        return value

    return patient(step=step)


def stop_first(network, optimizer, call):
    if call == 9:
        network[0].requires_grad_(False)


def free_first(network, optimizer, call):
    network[0].requires_grad_(call >= 9)


def in_turns(network, optimizer, call):
    network[0].requires_grad_(call % 2 == 0)


def cool(network, optimizer, call):
    optimizer.param_groups[0]["lr"] = 0.1 if call < 9 else 0.0


@pytest.mark.parametrize(
    ("change", "found"),
    [(stop_first, ["frozen_parameters"]), (free_first, []), (in_turns, []), (cool, [])],
)
def test_parameters_that_stop_moving(change, found):
    assert causes(check_step(changing(change))) == found


def test_an_offset_that_is_never_used_has_not_stopped():
    class Spare(Dropping):
        def __init__(self):
            super().__init__(0.0)
            self.spare = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(3))})

    assert causes(check_step(patient(Spare, step=step_of("zbs")))) == []


# -- modes -----------------------------------------------------------------------------------------------------------


class Dropping(nn.Module):
    def __init__(self, p=0.2):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Dropout(p), nn.Linear(24, 10))

    def forward(self, x):
        return self.body(x)


def looking(back, p=0.2, grads=False):
    """Return a patient whose step looks at how it does after each step, and may not go back to training mode."""
    seen = []

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        mode = network.training
        network.eval()
        with torch.set_grad_enabled(grads):
            seen.append(loss(network(batch[0]), batch[1]))
        if back:
            network.train(mode)
        return value

    return patient(Dropping(p), step=step, epochs=2)


def test_the_share_of_passes_in_evaluation_mode():
    # 20 batches an epoch: the first of each is in training mode
    assert run_trial(looking(back=False), seconds=60).asleep == pytest.approx(38 / 40)
    assert run_trial(looking(back=True), seconds=60).asleep == 0.0
    assert run_trial(patient(Dropping(), epochs=2), seconds=60).asleep == 0.0
    assert run_trial(looking(back=True, grads=True), seconds=60).asleep == pytest.approx(0.5)


def test_judging_between_epochs_is_not_asleep():
    def objective(network, batch):  # is judged with gradients, in evaluation mode
        return F.mse_loss(network(batch[0]).softmax(1), F.one_hot(batch[1], 10).float())

    p = patient(Dropping(), objective=objective, epochs=2)
    assert run_trial(p, seconds=60, judge=Judge.of(p)).asleep == 0.0


@pytest.mark.parametrize(("back", "p", "found"), [(False, 0.2, True), (True, 0.2, False), (False, 0.0, False)])
def test_a_network_that_is_left_in_evaluation_mode(back, p, found):
    def fresh():
        return looking(back, p)

    with quiet():
        _, findings, _ = check_training(fresh, Task("classes", 1, 10), Judge.of(fresh()), seconds=20, treat=False)
    assert ("eval_in_training" in causes(findings)) is found


# -- around a step ---------------------------------------------------------------------------------------------------


def test_what_is_around_a_step_is_entered_in_order_and_left_again():
    told = []

    def named(name):
        @contextmanager
        def around(asked):
            told.append(f"{name} in")
            try:
                yield
            finally:
                told.append(f"{name} out")

        return around

    def step(network, batch, optimizer, loss):
        told.append("step")
        raise ValueError("no")

    p = replace(patient(step=step), around=(named("a"), named("b")))
    with pytest.raises(ValueError, match="no"):
        p.advance(batch_of(p))
    assert told == ["a in", "b in", "step", "b out", "a out"]
    told.clear()
    replace(p, step=None).advance(batch_of(p))
    assert told == ["a in", "b in", "b out", "a out"]


def test_what_is_around_a_step_sees_the_patient_that_is_asked():
    seen = []

    @contextmanager
    def around(asked):
        seen.append(asked)
        yield

    p = replace(patient(), around=(around,))
    other = replace(p, epochs=1)
    other.advance(batch_of(other))
    assert seen[0] is other
