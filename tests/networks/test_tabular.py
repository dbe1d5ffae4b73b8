import pytest
import torch

from gradus.core.errors import InputError
from gradus.core.randomness import isolated
from gradus.networks import CategoricalHead, HeadedNetwork, TabularNetwork
from gradus.networks.tabular import embedding_width
from gradus.training.losses import head_loss

NAN = float("nan")


def table():
    numbers = torch.tensor([[1.0, 10.0], [3.0, NAN], [5.0, 30.0]])
    categories = torch.tensor([[1, 2], [0, 1], [2, 0]])
    return numbers, categories


def test_what_reaches_the_perceptron_is_numbers_indicators_embeddings():
    numbers, categories = table()
    network = TabularNetwork.from_data(numbers, [2, 5], hidden=())
    out = network(numbers, categories)
    assert out.shape == (3, 2 + 1 + embedding_width(2) + embedding_width(5)) == (3, network.out_features)
    spread = (8 / 3) ** 0.5
    torch.testing.assert_close(out[:, 0], torch.tensor([-2 / spread, 0.0, 2 / spread]))
    assert out[:, 1].tolist() == [-1.0, 0.0, 1.0]  # the missing value is its column's mean
    assert out[:, 2].tolist() == [0.0, 1.0, 0.0]  # and is marked; the complete column has no mark
    first = network.embeddings[0].weight
    assert torch.equal(out[:, 3 : 3 + embedding_width(2)], first[categories[:, 0]])
    assert torch.equal(out[:, 3 + embedding_width(2) :], network.embeddings[1].weight[categories[:, 1]])


def test_unknown_starts_in_the_middle_and_stays_if_never_met():
    numbers, categories = table()
    categories = categories.clamp_min(1)
    body = TabularNetwork.from_data(numbers, [2, 5], hidden=(8,))
    network = HeadedNetwork(None, body, CategoricalHead(8, 2))
    loss = head_loss(network.head, inputs=("numbers", "categories"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    batch = {"numbers": numbers, "categories": categories, "targets": torch.tensor([0, 1, 0])}
    before = body.embeddings[0].weight[1].clone()
    for _ in range(3):
        optimizer.zero_grad()
        loss(network, batch, torch.Generator()).total.backward()
        optimizer.step()
    assert body.embeddings[0].weight[0].abs().max() == 0
    assert not torch.equal(body.embeddings[0].weight[1], before)


def test_a_category_weighs_as_much_as_a_number():
    with isolated(0):
        network = TabularNetwork(torch.zeros(0), torch.zeros(0), [4000], hidden=())
    # 4000 embeddings of unit expected squared length; the mean's relative error is below 1 per cent.
    assert network.embeddings[0].weight[1:].square().sum(1).mean().item() == pytest.approx(1, abs=0.02)


def test_numbers_alone_and_categories_alone():
    numbers, categories = table()
    assert TabularNetwork.from_data(numbers, hidden=(4,))(numbers).shape == (3, 4)
    only = TabularNetwork.from_data(torch.zeros(3, 0), [2, 5], hidden=(4,))
    assert only(torch.zeros(3, 0), categories).shape == (3, 4)


def test_missing_at_prediction_only_gives_the_answer_of_the_mean():
    complete = torch.tensor([[1.0, 10.0], [3.0, 50.0]])
    network = TabularNetwork.from_data(complete, hidden=(4,))
    torch.testing.assert_close(network(torch.tensor([[1.0, NAN]])), network(torch.tensor([[1.0, 30.0]])))


def test_gradients_stay_finite_where_values_are_missing():
    numbers, categories = table()
    network = TabularNetwork.from_data(numbers, [2, 5], hidden=(4,))
    network(numbers, categories).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_weights_reach_the_moments_and_infinities_are_refused():
    numbers, _ = table()
    network = TabularNetwork.from_data(numbers, (), torch.tensor([1.0, 0.0, 3.0]))
    assert network.standardize.mean.tolist() == [4.0, 25.0]
    with pytest.raises(InputError, match="finite numbers"):
        TabularNetwork.from_data(torch.tensor([[float("inf")]]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: TabularNetwork(torch.zeros(0), torch.zeros(0)), "one column or more"),
        (lambda: TabularNetwork(torch.zeros(1), torch.ones(1), [0]), "1 category or more"),
        (
            lambda: TabularNetwork(torch.zeros(1), torch.ones(1), [3])(torch.zeros(2, 1)),
            "1 categorical columns",
        ),
        (lambda: TabularNetwork(torch.zeros(1), torch.ones(1))(torch.zeros(2, 2)), "1 columns"),
    ],
)
def test_wrong_columns_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
