import copy

import pytest
import torch
from sklearn.metrics import accuracy_score, mean_squared_error
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks import MLP, BinaryHead, CategoricalHead, GaussianHead, HeadedNetwork, OrdinalHead
from gradus.training.losses import Loss, head_loss

GENERATOR = torch.Generator()


@pytest.fixture(autouse=True)
def seeded():
    """Draws do not depend on which tests ran before."""
    with isolated(0):
        yield


def classifier(head=None):
    with isolated(0):
        return HeadedNetwork(None, MLP(4, (8,)), head or CategoricalHead(8, 3)).double()


def rows(n=12):
    x = torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return {"inputs": x, "targets": torch.arange(n) % 3}


def test_the_total_is_a_sum_and_the_count_is_a_plain_number():
    network, batch = classifier(), rows()
    loss = head_loss(network.head)(network, batch, GENERATOR)
    assert isinstance(loss, Loss) and loss.total.shape == ()
    torch.testing.assert_close(loss.total, F.cross_entropy(network(batch["inputs"]), batch["targets"]) * 12)
    assert type(loss.count) is float and loss.count == 12.0
    assert loss.metrics == {}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_parts_of_unequal_size_add_up_to_the_whole_gradients_included(smoothing):
    network, batch = classifier(), rows()
    batch["weights"] = torch.linspace(0.5, 3, 12, dtype=torch.float64)
    loss = head_loss(network.head, label_smoothing=smoothing, metrics=True)
    whole = loss(network, batch, GENERATOR)
    gradients = torch.autograd.grad(whole.total, list(network.parameters()))
    parts = [{k: v[a:b] for k, v in batch.items()} for a, b in [(0, 1), (1, 6), (6, 12)]]
    results = [loss(network, part, GENERATOR) for part in parts]
    added = torch.autograd.grad(sum(r.total for r in results), list(network.parameters()))
    torch.testing.assert_close(sum(r.count for r in results), whole.count)
    torch.testing.assert_close(sum(r.metrics["correct"] for r in results), whole.metrics["correct"])
    for one, other in zip(gradients, added, strict=True):
        torch.testing.assert_close(one, other)


def test_integer_weights_count_examples_again_and_zero_removes_them():
    network, batch = classifier(), rows()
    weights = torch.tensor([0, 1, 2, 3] * 3)
    loss = head_loss(network.head, label_smoothing=0.1, metrics=True)
    weighted = loss(network, {**batch, "weights": weights}, GENERATOR)
    repeated = loss(network, {k: v.repeat_interleave(weights, 0) for k, v in batch.items()}, GENERATOR)
    torch.testing.assert_close(weighted.total, repeated.total)
    assert weighted.count.item() == repeated.count
    torch.testing.assert_close(weighted.metrics["correct"], repeated.metrics["correct"])


def test_metrics_are_sums_that_divide_to_scikit_learns():
    network, batch = classifier(), rows()
    weights = torch.linspace(0.1, 2, 12, dtype=torch.float64)
    result = head_loss(network.head, metrics=True)(network, {**batch, "weights": weights}, GENERATOR)
    predicted = network(batch["inputs"]).argmax(1)
    wanted = accuracy_score(batch["targets"], predicted, sample_weight=weights.numpy())
    assert (result.metrics["correct"] / result.count).item() == pytest.approx(wanted)
    assert not result.metrics["correct"].requires_grad

    regressor = classifier(GaussianHead(8, 2))
    regressor.head.set_scale(torch.tensor([3.0, -2.0]), torch.tensor([5.0, 0.1]))
    y = torch.randn(12, 2, dtype=torch.float64)
    result = head_loss(regressor.head, metrics=True)(regressor, {**batch, "targets": y}, GENERATOR)
    wanted = mean_squared_error(y, regressor(batch["inputs"]).detach())
    assert (result.metrics["squared_error"] / result.count).item() == pytest.approx(wanted)


def test_a_network_of_several_inputs_gets_them_by_name_in_order():
    head = GaussianHead(1)

    class Difference(torch.nn.Module):
        def forward(self, a, b):
            return a - b

    batch = {
        "b": torch.tensor([1.0, 2.0]),
        "a": torch.tensor([4.0, 7.0]),
        "targets": torch.tensor([3.0, 5.0]),
    }
    result = head_loss(head, inputs=("a", "b"), metrics=True)(Difference(), batch, GENERATOR)
    assert result.metrics["squared_error"].item() == 0


@pytest.mark.parametrize("head", [OrdinalHead(8, 3), CategoricalHead(8, 3)], ids=["ordinal", "categorical"])
def test_a_copied_network_is_measured_by_its_own_weights(head):
    network = classifier(head)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(1.5).add_(0.01)
    by_original = head_loss(network.head)(copied, rows(), GENERATOR).total
    by_own = head_loss(copied.head)(copied, rows(), GENERATOR).total
    assert torch.equal(by_original, by_own)
    gradients = torch.autograd.grad(by_original, list(copied.parameters()))
    assert all(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("head", [BinaryHead(8), GaussianHead(8)], ids=["binary", "gaussian"])
def test_a_column_against_a_row_is_refused_not_broadcast(head):
    network = classifier(head)
    batch = {**rows(), "targets": torch.ones(12, 1, dtype=torch.float64)}
    with pytest.raises(InputError, match=r"targets of shape \(12,\), got \(12, 1\); reshape"):
        head_loss(head)(network, batch, GENERATOR)
    matrix = GaussianHead(8, 1)
    batch["targets"] = torch.ones(12, dtype=torch.float64)
    with pytest.raises(InputError, match=r"targets of shape \(12, 1\), got \(12,\)"):
        head_loss(matrix)(classifier(matrix), batch, GENERATOR)


def test_wrong_weights_and_lengths_are_refused():
    network, batch = classifier(), rows()
    with pytest.raises(InputError, match=r"weights of shape \(12,\), got \(12, 1\)"):
        head_loss(network.head)(network, {**batch, "weights": torch.ones(12, 1)}, GENERATOR)
    with pytest.raises(InputError, match="targets of shape"):
        head_loss(network.head)(network, {**batch, "targets": batch["targets"][:5]}, GENERATOR)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(SettingError, match=r"label_smoothing in \[0, 1\)"):
        head_loss(CategoricalHead(8, 3), label_smoothing=smoothing)


def test_label_smoothing_needs_classes():
    with pytest.raises(SettingError, match=r"head over classes, got 0\.1 for a GaussianHead"):
        head_loss(GaussianHead(8), label_smoothing=0.1)


def test_half_precision_parameters_are_measured_in_single_precision():
    head = CategoricalHead(8, 3)
    parameters = torch.randn(5, 3).bfloat16()
    total = head.total_loss(parameters, torch.tensor([0, 1, 2, 0, 1]))
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, head.total_loss(parameters.float(), torch.tensor([0, 1, 2, 0, 1])))
