import pytest
import torch
from torch import nn

from gradus.core import threads as core_threads
from gradus.training import probes
from gradus.training.losses import Loss, head_loss
from gradus.training.probes import choose_precision, choose_threads
from training.small import classifier, rows


class Clock:
    """A clock that only the work under test moves."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(probes, "time", made)
    monkeypatch.setattr(core_threads, "time", made)
    monkeypatch.setattr(probes, "_threads", {})
    monkeypatch.setattr(probes, "_precisions", {})
    return made


def timed(clock, seconds):
    """A loss that takes ``seconds()`` on the clock."""

    def loss(network, batch, source):
        clock.now += seconds()
        return head_loss(network.head)(network, batch, source)

    return loss


def in_bf16():
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


@pytest.mark.parametrize(
    ("float32", "bf16", "chosen"),
    [(1.0, 0.5, "bf16"), (1.0, 0.83, "bf16"), (1.0, 0.84, "float32"), (1.0, 1.0, "float32"), (1.0, 3.0, "float32")],
)
def test_bf16_is_chosen_only_where_it_wins_by_a_fifth(float32, bf16, chosen, clock):
    loss = timed(clock, lambda: bf16 if in_bf16() else float32)
    assert choose_precision(classifier(), loss, rows(), "auto") == chosen


def test_what_is_asked_for_is_given_without_a_probe(clock):
    def never(network, batch, source):
        pytest.fail("a probe")

    assert choose_precision(classifier(), never, rows(), "bf16") == "bf16"
    assert choose_precision(classifier(), never, rows(), "float32") == "float32"
    assert choose_threads(classifier(), never, rows(), 3) == 3


def test_a_choice_is_remembered_for_the_same_shapes_only(clock):
    loss = timed(clock, lambda: 0.5 if in_bf16() else 1.0)
    slower = timed(clock, lambda: 1.0 if in_bf16() else 0.5)
    assert choose_precision(classifier(), loss, rows(), "auto") == "bf16"
    assert choose_precision(classifier(3), slower, rows(seed=2), "auto") == "bf16"
    assert choose_precision(classifier(), slower, rows(13), "auto") == "float32"


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: 5e-4, 2: 1e-4, 4: 1e-5}, 1),  # so small that it is mostly overhead
        ({1: 1.0, 2: 0.6, 4: 0.4}, 4),
        ({1: 1.0, 2: 0.9, 4: 1.5}, 1),  # a tenth is not worth a core
        ({1: 1.0, 2: 0.6, 4: 0.58}, 2),
    ],
)
def test_threads_are_chosen_by_the_time_a_step_takes(seconds, chosen, clock, monkeypatch):
    monkeypatch.setattr(probes, "candidates", lambda: [1, 2, 4])
    monkeypatch.setattr(core_threads, "candidates", lambda: [1, 2, 4])
    loss = timed(clock, lambda: seconds[torch.get_num_threads()])
    before = torch.get_num_threads()
    assert choose_threads(classifier(), loss, rows(), "auto") == chosen
    assert torch.get_num_threads() == before


def test_a_long_step_is_timed_on_a_part_of_its_rows(clock, monkeypatch):
    monkeypatch.setattr(probes, "candidates", lambda: [1, 2])
    monkeypatch.setattr(core_threads, "candidates", lambda: [1, 2])
    sizes = []

    def loss(network, batch, source):
        sizes.append(len(batch["inputs"]))
        clock.now += sizes[-1] * each / torch.get_num_threads()
        return head_loss(network.head)(network, batch, source)

    each = 1e-3
    assert choose_threads(classifier(), loss, rows(200), "auto") == 2
    assert set(sizes) == {32}
    each = 1e-5
    sizes.clear()
    assert choose_threads(classifier(), loss, rows(150), "auto") == 2
    assert sizes[:2] == [32, 32] and set(sizes[2:]) == {150}


def test_one_core_needs_no_probe(clock, monkeypatch):
    monkeypatch.setattr(probes, "candidates", lambda: [1])
    assert choose_threads(classifier(), lambda *a: pytest.fail("a probe"), rows(), "auto") == 1


def test_a_probe_leaves_network_batch_and_random_numbers_as_they_were(clock, monkeypatch):
    monkeypatch.setattr(probes, "candidates", lambda: [1, 2])
    monkeypatch.setattr(core_threads, "candidates", lambda: [1, 2])
    network, batch = classifier(dropout=0.5, normalization="batch").eval(), rows()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    inputs, state = batch["inputs"].clone(), torch.get_rng_state()
    loss = timed(clock, lambda: 1.0)
    choose_threads(network, loss, batch, "auto")
    choose_precision(network, loss, batch, "auto")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, values[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters()) and not network.training
    assert torch.equal(batch["inputs"], inputs)


def test_a_real_probe_runs_on_real_time(monkeypatch):
    monkeypatch.setattr(probes, "_precisions", {})
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1))

    def loss(network, batch, source):
        return Loss(network(batch["inputs"]).square().sum(), 4.0, {})

    assert choose_precision(network, loss, {"inputs": torch.randn(4, 8)}, "auto") in ("float32", "bf16")
