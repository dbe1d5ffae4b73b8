"""Rules of what a part makes in the likeness of the data, where its last activation keeps it from that."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, digits, patient
from gradus.practice.doctor.checks_made import check_made


def rows(size=1.0, shift=0.0):
    (x, _), (valid, _) = digits()
    x, valid = size * x + shift, size * valid + shift
    return (x, x), (valid, valid)


def standardized():
    (x, _), (valid, _) = digits()
    center, spread = x.mean(0), x.std(0).clamp_min(0.1)
    x, valid = (x - center) / spread, (valid - center) / spread
    return (x, x), (valid, valid)


class Players(nn.Module):
    """A maker of pictures of 64 numbers, and a judge of them."""

    def __init__(self, last, inner=nn.ReLU):
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(8, 24), inner(), nn.Linear(24, 64), last())
        self.judge = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, z):
        return self.maker(z)


def playing(network, data):
    """Return a patient of two players that take turns."""
    ours = torch.optim.Adam(network.maker.parameters(), lr=1e-3)
    theirs = torch.optim.Adam(network.judge.parameters(), lr=1e-3)

    def step(network, batch, optimizer, loss):
        real, made = batch[0], network.maker(torch.randn(len(batch[0]), 8))
        theirs.zero_grad()
        (F.softplus(-network.judge(real)) + F.softplus(network.judge(made.detach()))).mean().backward()
        theirs.step()
        ours.zero_grad()
        F.softplus(-network.judge(made)).mean().backward()
        ours.step()

    return patient(network, data, step=step, objective=None, optimizer=[ours, theirs])


def found(p):
    return [(f.cause, f.place) for f in check_made(p, batch_of(p))]


@pytest.mark.parametrize(
    ("last", "data", "beyond"),
    [
        (nn.Tanh, lambda: rows(16.0), True),
        (nn.Tanh, standardized, True),
        (nn.Sigmoid, lambda: rows(2.0, -1.0), True),
        (nn.Tanh, lambda: rows(2.0, -1.0), False),
        (nn.Sigmoid, rows, False),
        (nn.Tanh, rows, False),  # half of its range is enough
        (nn.Identity, lambda: rows(16.0), False),
        (nn.Softplus, lambda: rows(16.0), False),
    ],
)
def test_a_maker_that_cannot_reach_the_data(last, data, beyond):
    assert found(playing(Players(last), data())) == ([("output_range", "maker")] if beyond else [])


@pytest.mark.parametrize("inner", [nn.Tanh, nn.Sigmoid])
def test_activations_that_are_not_the_last_end_nothing(inner):
    assert found(playing(Players(nn.Identity, inner), rows(16.0))) == []


class Coder(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.code, self.decode = nn.Linear(64, 4), nn.Sequential(nn.Linear(4, 64), last())

    def forward(self, x):
        return self.decode(self.code(x))


def again(network, batch):
    return F.mse_loss(network(batch[0]), batch[1])


@pytest.mark.parametrize(("last", "beyond"), [(nn.Sigmoid, True), (nn.Identity, False)])
def test_a_decoder_under_an_objective(last, beyond):
    p = patient(Coder(last), standardized(), objective=again)
    assert found(p) == ([("output_range", "decode")] if beyond else [])


class Gated(nn.Module):
    """Lets some numbers of a row pass, and makes all of them of what passed; the gate makes no likeness of rows."""

    def __init__(self):
        super().__init__()
        self.look, self.gate, self.last = (
            nn.Linear(64, 8),
            nn.Sequential(nn.Linear(8, 64), nn.Sigmoid()),
            nn.Linear(64, 64),
        )

    def forward(self, x):
        return self.last(x * self.gate(self.look(x)))


class Denoiser(nn.Module):
    """Says which part of a row to keep: what it is asked with has the shape of the data."""

    def __init__(self):
        super().__init__()
        self.mask = nn.Sequential(nn.Linear(64, 64), nn.Sigmoid())

    def forward(self, x):
        return x * self.mask(x)


@pytest.mark.parametrize("kind", [Gated, Denoiser])
def test_parts_of_the_same_shape_that_make_no_likeness(kind):
    assert found(patient(kind, standardized(), objective=again)) == []


def test_the_weights_are_left_as_they_were():
    network = Coder(nn.Sigmoid)
    still = torch.optim.SGD(network.parameters(), lr=0.0)  # what is left to move them is the look at other weights
    p = patient(network, standardized(), objective=again, optimizer=still)
    before = [v.clone() for v in p.network.state_dict().values()]
    assert found(p)
    assert all(torch.equal(a, b) for a, b in zip(before, p.network.state_dict().values(), strict=True))
