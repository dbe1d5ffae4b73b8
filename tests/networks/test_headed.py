import pytest
import torch

from gradus.networks import (
    HEADS,
    MLP,
    CategoricalHead,
    ConvNet,
    HeadedNetwork,
    PixelScale,
    Standardize,
    TabularNetwork,
)

SIZES = {"categorical": (3,), "multilabel": (3,), "ordinal": (3,)}


@pytest.mark.parametrize("name", HEADS)
def test_it_is_preparation_body_head_in_a_row_and_trains_end_to_end(name):
    X = 7 + 3 * torch.randn(9, 4)
    network = HeadedNetwork(Standardize.from_data(X), MLP(4, (5,)), HEADS[name](5, *SIZES.get(name, ())))
    parameters = network(X)
    torch.testing.assert_close(network.features(X), network.body((X - X.mean(0)) / X.std(0, unbiased=False)))
    torch.testing.assert_close(parameters, network.head(network.features(X)))
    targets = torch.ones(9, *network.head.event_shape)
    targets = targets.long() if network.head.integer_targets else targets
    network.head.total_loss(parameters, targets).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert not any(key.startswith("prepare") for key, _ in network.named_parameters())


def test_its_stored_state_is_all_an_answer_needs():
    X = 7 + 3 * torch.randn(9, 4)
    network = HeadedNetwork(Standardize.from_data(X), MLP(4, (5,)), HEADS["gaussian"](5))
    network.head.set_scale(100.0, 20.0)
    blank = HeadedNetwork(Standardize(torch.zeros(4), torch.ones(4)), MLP(4, (5,)), HEADS["gaussian"](5))
    blank.load_state_dict(network.state_dict())
    assert torch.equal(blank(X), network(X))


def networks():
    numbers, images = torch.randn(6, 3), torch.randint(0, 255, (6, 8, 8, 1), dtype=torch.uint8)
    table = TabularNetwork.from_data(numbers, [4], hidden=(5,))
    convolutional = ConvNet(1, 8, (4,), features=5)
    return {
        "table": (
            HeadedNetwork(None, table, HEADS["quantile"](5)),
            (numbers, torch.ones(6, 1, dtype=torch.long)),
        ),
        "images": (
            HeadedNetwork(PixelScale.from_data(images), convolutional, CategoricalHead(5, 3)),
            (images,),
        ),
    }


@pytest.mark.parametrize("name", ["table", "images"])
def test_it_exports_as_one_graph_for_any_batch_size(name):
    network, inputs = networks()[name]
    network.eval()
    dynamic = tuple({0: torch.export.Dim("batch", min=1)} for _ in inputs)
    exported = torch.export.export(network, inputs, dynamic_shapes=(dynamic,)).module()
    fewer = tuple(x[:2] for x in inputs)
    torch.testing.assert_close(exported(*fewer), network(*fewer))
