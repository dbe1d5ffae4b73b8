"""Treatments of what happens around a step: each trains to the bit as the program without the fault would."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, digits, measured, patient
from gradus.practice.doctor.treatments import _rescaled, _rescaled_both, both_off, loose_weights, meant, strange_weights
from gradus.practice.doctor.treatments_steps import (
    adaptive,
    canonical,
    clipped,
    cuts,
    held_rate,
    odd_loss,
    one_rate,
    plain_loss,
    small_tables,
    tables_at_one,
    unclipped,
    uncut,
    uneven_rates,
)
from gradus.practice.doctor.trial import quiet


def trained(p, steps=12):
    """Return all parameters after some steps."""
    p.network.train()
    for k, batch in enumerate(p.train.batches(torch.Generator().manual_seed(0))):
        if k < steps:
            p.advance(batch)
    return nn.utils.parameters_to_vector(p.network.parameters()).detach()


def stepping(before=None, schedule="none"):
    """Return a patient whose step does something beside clearing, going back and stepping."""
    network = patient().network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def falling():
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.3)

    kept = [falling()] if schedule == "at once" else []

    def step(network, batch, optimizer, loss):
        if schedule == "in the first step" and not kept:
            kept.append(falling())
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        if before is not None:
            before(network.parameters())
        optimizer.step()
        for one in kept:
            one.step()

    return patient(network, step=step, optimizer=optimizer)


# -- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["at once", "in the first step"])
def test_a_schedule_is_left_out(schedule):
    plain, falling = trained(patient()), trained(stepping(schedule=schedule))
    assert torch.equal(trained(held_rate(stepping(schedule=schedule))), plain)
    assert not torch.allclose(falling, plain, atol=1e-3)


def groups(*rates):
    network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    layers = (network[0], network[2])
    held = [{"params": layer.parameters(), "lr": rate} for layer, rate in zip(layers, rates, strict=True)]
    return network, torch.optim.SGD(held)


@pytest.mark.parametrize(("rates", "uneven"), [((0.1, 1e-4), 1.0), ((1e-4, 0.1), 1.0), ((0.1, 0.01), 0.0)])
def test_groups_that_learn_at_rates_of_their_own(rates, uneven):
    def made(rates):
        torch.manual_seed(1)
        network, optimizer = groups(*rates)
        return patient(network, optimizer=optimizer)

    assert uneven_rates(made(rates)) == uneven
    assert torch.equal(trained(one_rate(made(rates))), trained(made((0.1, 0.1))))
    assert not torch.equal(trained(made(rates)), trained(made((0.1, 0.1))))


def test_two_optimizers_may_have_rates_of_their_own():
    network = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    two = [torch.optim.SGD(network[0].parameters(), lr=0.1), torch.optim.Adam(network[2].parameters(), lr=1e-4)]
    assert uneven_rates(patient(network, optimizer=two)) == 0.0
    assert adaptive(patient(network, optimizer=two)) is None


def by_adam():
    """Return what torch's Adam makes of the usual network by a plain loop."""
    p = patient()
    optimizer = torch.optim.Adam(p.network.parameters(), lr=1e-3)
    for k, (x, y) in enumerate(p.train.batches(torch.Generator().manual_seed(0))):
        if k < 12:
            optimizer.zero_grad()
            F.cross_entropy(p.network(x), y).backward()
            optimizer.step()
    return nn.utils.parameters_to_vector(p.network.parameters()).detach()


@pytest.mark.parametrize("schedule", ["none", "at once", "in the first step"])
def test_another_optimizer_steps_in_place_of_the_one_given(schedule):
    with quiet():  # torch misses the step of the optimizer that is not asked any more
        assert torch.equal(trained(adaptive(stepping(schedule=schedule))), by_adam())


# -- gradients -------------------------------------------------------------------------------------------------------


def by_norm(most):
    return lambda parameters: nn.utils.clip_grad_norm_(list(parameters), most)


def by_value(parameters):
    nn.utils.clip_grad_value_(list(parameters), 1e-5)


@pytest.mark.parametrize("clip", [by_norm(1e-4), by_value])
def test_clipping_is_left_out(clip):
    kept = nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_, nn.utils.clip_grad.clip_grad_norm_
    plain = trained(patient())
    assert torch.equal(trained(unclipped(stepping(before=clip))), plain)
    assert not torch.allclose(trained(stepping(before=clip)), plain, atol=1e-3)
    assert unclipped(patient()) is None
    assert kept == (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_, nn.utils.clip_grad.clip_grad_norm_)


def test_clipping_is_put_back_after_a_step_that_fails():
    def failing(parameters):
        raise ValueError("no")

    kept = nn.utils.clip_grad_norm_
    p = unclipped(stepping(before=failing))
    with pytest.raises(ValueError, match="no"):
        p.advance(batch_of(p))
    assert nn.utils.clip_grad_norm_ is kept
    assert clipped(p) == 0.0
    assert nn.utils.clip_grad_norm_ is kept and nn.utils.clip_grad.clip_grad_norm_ is kept


@pytest.mark.parametrize(("most", "prior"), [(1e-4, 0.8), (0.1, 0.0), (5.0, 0.0)])
def test_clipping_to_next_to_nothing_is_suspect(most, prior):
    assert clipped(stepping(before=by_norm(most))) == prior
    assert clipped(stepping(before=lambda ps: nn.utils.clip_grad_norm_(list(ps), max_norm=most))) == prior
    assert clipped(patient()) == clipped(stepping()) == 0.0


@pytest.mark.parametrize(("most", "prior"), [(1e-6, 0.8), (1e-2, 0.0), (5.0, 0.0)])
def test_clipping_each_entry_to_next_to_nothing_is_suspect(most, prior):
    assert clipped(stepping(before=lambda ps: nn.utils.clip_grad_value_(list(ps), most))) == prior


class Layered(nn.Module):
    def __init__(self, between=lambda h: h):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.between = nn.Linear(64, 24), nn.Linear(24, 10), between

    def forward(self, x):
        return self.last(self.between(torch.relu(self.first(x))))


@pytest.mark.parametrize("cut", [lambda h: h.detach(), lambda h: 0.5 * h + 0.5 * h.detach()])
def test_numbers_that_are_cut_off_are_put_back_into_the_graph(cut):
    plain = trained(patient(Layered()))
    torch.testing.assert_close(trained(uncut(patient(Layered(cut)))), plain, rtol=0, atol=1e-6)
    assert not torch.allclose(trained(patient(Layered(cut))), plain, atol=1e-3)
    assert cuts(patient(Layered(cut))) == 0.6
    assert cuts(patient(Layered())) == 0.0


def test_losses_and_rows_that_are_detached_are_no_cuts():
    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        value = loss(network(batch[0].detach()), batch[1])
        value.backward()
        optimizer.step()
        return {"loss": value.detach(), "weights": network.first.weight.detach().norm()}

    assert cuts(patient(Layered(), step=step)) == 0.0


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "prior", "factor"),
    [
        (nn.Embedding(17, 8), 0.5, 0.1),
        (nn.EmbeddingBag(17, 8), 0.5, 0.1),
        (nn.Embedding(17, 1), 0.0, 0.1),  # offsets of factors, one number each
        (nn.Embedding.from_pretrained(torch.randn(17, 8)), 0.0, 1.0),
        (nn.Embedding(17, 8, _weight=0.02 * torch.randn(17, 8)), 0.0, 0.1),
    ],
)
def test_embeddings_start_at_a_tenth(table, prior, factor):
    p = patient(nn.Sequential(table, nn.Flatten(), nn.Linear(8, 10)))
    before, rest = table.weight.detach().clone(), p.network[2].weight.detach().clone()
    assert tables_at_one(p) == prior
    assert small_tables(p) is p
    torch.testing.assert_close(table.weight.detach(), factor * before)
    assert torch.equal(p.network[2].weight, rest)
    assert tables_at_one(p) == 0.0


# -- the loss --------------------------------------------------------------------------------------------------------


def odd_rows():
    return tuple((x, (y % 2).float()[:, None]) for x, y in digits())


def margins(o, t):
    return F.relu(1 - o.gather(1, t[:, None]) + o).mean()


def other_names(o, t):
    return F.cross_entropy(o, (t + 1) % 10)


def hinge(o, t):
    return F.relu(1 - (2 * t - 1) * o).mean()


def calm(o, t):
    return torch.log(torch.cosh(o - t)).mean()


@pytest.mark.parametrize(
    ("network", "rows", "loss", "usual", "odd"),
    [
        ((64, 10), digits, nn.CrossEntropyLoss(), F.cross_entropy, 0.0),
        ((64, 10), digits, nn.CrossEntropyLoss(label_smoothing=0.3), F.cross_entropy, 0.3),
        ((64, 10), digits, margins, F.cross_entropy, 0.3),
        ((64, 10), digits, other_names, F.cross_entropy, 0.3),
        ((64, 1), odd_rows, nn.BCEWithLogitsLoss(), F.binary_cross_entropy_with_logits, 0.0),
        ((64, 1), odd_rows, hinge, F.binary_cross_entropy_with_logits, 0.3),
        ((10, 1), measured, nn.MSELoss(), F.mse_loss, 0.0),
        ((10, 1), measured, calm, F.mse_loss, 0.3),
    ],
)
def test_the_usual_loss_of_a_task(network, rows, loss, usual, odd):
    p = patient(nn.Linear(*network), rows(), loss=loss, step=lambda *_: None)
    other = plain_loss(p)
    x, y = batch_of(p)
    assert other.step is None and other.criterion is other.loss
    torch.testing.assert_close(other.measure((x, y)), usual(p.network(x), y))
    assert odd_loss(p) == odd


@pytest.mark.parametrize(
    ("last", "rows", "loss"),
    [
        (nn.LogSoftmax(1), digits, nn.NLLLoss()),
        (nn.Softmax(1), digits, lambda o, t: -o.gather(1, t[:, None]).log().mean()),
        (nn.Sigmoid(), odd_rows, nn.BCELoss()),
    ],
)
def test_outputs_that_are_no_raw_scores_keep_their_loss(last, rows, loss):
    network = nn.Sequential(nn.Linear(64, 10 if rows is digits else 1), last)
    p = patient(network, rows(), loss=loss)
    assert plain_loss(p) is None
    assert odd_loss(p) == 0.0


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_logarithm_of_probabilities_by_hand_is_the_usual_loss(share):
    """Another multiple of it is odd, as is any other loss of probabilities."""
    p = patient(
        nn.Sequential(nn.Linear(64, 10), nn.Softmax(1)),
        loss=lambda o, t: -share * o.clamp_min(1e-9).log().gather(1, t[:, None]).mean(),
    )
    x, y = batch_of(p)
    torch.testing.assert_close(plain_loss(p).measure((x, y)), F.cross_entropy(p.network[0](x), y))
    assert odd_loss(p) == (0.0 if share == 1 else 0.9)


# -- all of it -------------------------------------------------------------------------------------------------------


def strange(network, batch, optimizer, loss):
    optimizer.zero_grad()
    loss(network(batch[0]), batch[1]).backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1e-3)
    optimizer.step()
    optimizer.param_groups[0]["lr"] *= 0.5


@pytest.mark.parametrize("parts", [{}, {"step": strange}, {"loss": other_names}, {"loss": margins, "step": strange}])
def test_a_careful_training_is_the_same_whatever_was_strange(parts):
    assert torch.equal(trained(canonical(patient(**parts))), by_adam())


def test_a_careful_training_keeps_an_objective_of_another_form():
    def objective(network, batch):
        return F.mse_loss(network(batch[0]).softmax(1), F.one_hot(batch[1], 10).float())

    p = canonical(patient(objective=objective, step=strange))
    assert p.step is None and p.objective is objective
    network = nn.Sequential(nn.Linear(64, 10), nn.LogSoftmax(1))
    p = canonical(patient(network, step=strange, loss=nn.NLLLoss()))
    assert p.step is None and isinstance(p.loss, nn.NLLLoss)


# -- sizes and signs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "strange"), [(0.0, 0.2, True), (-0.2, 0.2, False), (0.1, 0.1, False)])
def test_weights_of_one_sign_are_strange(low, high, strange):
    p = patient()
    with torch.no_grad():
        p.network[0].weight.uniform_(low, high)
    assert (strange_weights(p) >= 0.6) == strange

    class Loose(nn.Module):
        """Weights that belong to no layer."""

        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.empty(64, 10).uniform_(low, high))

        def forward(self, x):
            return x @ self.table

    assert (loose_weights(patient(Loose())) >= 0.9) == strange


@pytest.mark.parametrize(("inputs", "targets", "prior"), [(1e4, 1e4, 1.0), (1.0, 1e4, 0.0), (1e4, 1.0, 0.0)])
def test_counts_as_they_are_for_inputs_and_targets(inputs, targets, prior):
    rows = tuple((inputs * (x + 1), targets * (y + 1)) for x, y in measured())
    p = patient(nn.Linear(10, 1), rows, loss=nn.MSELoss())
    assert both_off(p) == prior
    prepared = _rescaled_both(p).network
    x, y = p.train.given
    torch.testing.assert_close(prepared(x), p.network((x - x.mean(0)) / x.std(0)) * y.std(0) + y.mean(0))


class Tuned(nn.Module):
    """Some layers, of which only those named learn."""

    def __init__(self, free):
        super().__init__()
        self.first, self.last = nn.Linear(64, 24), nn.Linear(24, 10)
        for name, p in self.named_parameters():
            p.requires_grad = name in free

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


@pytest.mark.parametrize(
    ("free", "on_purpose"),
    [(("last.weight", "last.bias"), True), (("last.bias",), False), (("first.weight", "first.bias"), False)],
)
def test_layers_frozen_on_purpose_come_before_one_that_learns(free, on_purpose):
    assert meant(patient(Tuned(free))) == on_purpose


@pytest.mark.parametrize(("loss", "own"), [(F.mse_loss, False), (F.poisson_nll_loss, True)])
def test_standardized_targets_are_those_of_the_loss_too_where_it_is_a_distance(loss, own):
    rows = tuple((x, 5000 * x[:, :3] + 100) for x, _ in digits())
    p = patient(nn.Linear(64, 3), rows, loss=loss)
    treated = _rescaled(p)
    output, target = torch.randn(4, 3), torch.randn(4, 3).abs()
    assert (float(treated.loss(output, target)) == float(loss(output, target))) is own
