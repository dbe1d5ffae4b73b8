import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from gradus.core.randomness import generator
from gradus.networks import MLP, GaussianHead, HeadedNetwork
from gradus.training.losses import Loss, head_loss
from gradus.training.regularizers import Average, constrain_norms_, noisy_weights, penalize_
from training.small import classifier, measured, rows, trainer

DOUBLE = torch.float64


def assert_close(one, other, tolerance=1e-12):
    for (name, a), b in zip(one.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(a, b[1], rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_penalties_are_those_written_into_the_loss(name, accumulate):
    ours, theirs = classifier(dtype=DOUBLE), classifier(dtype=DOUBLE)
    settings = {"optimizer": name, "learning_rate": 0.1, "l1": 0.03, "l2": 0.2, "accumulate": accumulate}
    trained = trainer(network=ours, data=rows(dtype=DOUBLE), max_steps=10, max_epochs=5, **settings)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[name](theirs.parameters(), lr=0.1)
    weights = [p for n, p in theirs.named_parameters() if n.endswith("weight")]
    for epoch in range(3):
        for batch in list(trained.batches.epoch(epoch))[: 10 - 4 * epoch]:
            optimizer.zero_grad()
            loss = F.cross_entropy(theirs(batch["inputs"]), batch["targets"])
            loss = loss + 0.03 * sum(w.abs().sum() for w in weights)
            loss = loss + 0.2 / 2 * sum(w.square().sum() for w in weights)
            loss.backward()
            optimizer.step()
    trained.run()
    assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_line_search_of_lbfgs_sees_the_penalties(accumulate):
    ours, theirs = classifier(dtype=DOUBLE), classifier(dtype=DOUBLE)
    data = rows(dtype=DOUBLE)
    settings = {"optimizer": "lbfgs", "learning_rate": 0.5, "l1": 0.01, "l2": 0.2, "accumulate": accumulate}
    trainer(network=ours, data=data, batch_size=26, max_steps=1, **settings).run()
    weights = [p for n, p in theirs.named_parameters() if n.endswith("weight")]
    optimizer = torch.optim.LBFGS(theirs.parameters(), lr=0.5, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(theirs(data["inputs"]), data["targets"])
        loss = loss + 0.01 * sum(w.abs().sum() for w in weights)
        loss = loss + 0.2 / 2 * sum(w.square().sum() for w in weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert_close(ours, theirs, 1e-8)


def test_penalties_skip_weights_without_a_gradient_and_biases():
    network = nn.Linear(3, 2)
    penalize_([network.weight], l1=1.0, l2=1.0)
    assert network.weight.grad is None
    network.weight.grad = torch.zeros(2, 3)
    network.weight.data = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, -0.25]])
    penalize_([network.weight], l1=0.1, l2=2.0)
    wanted = torch.tensor([[2.1, -4.1, 0.0], [1.1, 0.0, -0.6]])
    torch.testing.assert_close(network.weight.grad, wanted)


def projected(weight, limit):
    """Each unit's incoming weights moved to the nearest point of the ball, by numpy."""
    flat = weight.reshape(len(weight), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat * np.minimum(1, limit / norms)).reshape(weight.shape)


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 3, 3)])
def test_max_norm_projects_each_unit_onto_the_ball(shape):
    weight = torch.randn(shape, generator=generator(0), dtype=DOUBLE)
    weight[1] *= 0.01  # inside: to be left alone to the last bit
    wanted = projected(weight.numpy(), 1.5)
    before = weight.clone()
    constrain_norms_([weight], 1.5)
    np.testing.assert_allclose(weight.numpy(), wanted, rtol=2e-7)
    assert torch.equal(weight[1], before[1])
    assert not torch.equal(weight, before)


def test_max_norm_holds_after_every_step_of_training():
    ours, theirs = classifier(dtype=DOUBLE), classifier(dtype=DOUBLE)
    settings = {"optimizer": "sgd", "learning_rate": 0.5, "max_norm": 0.8, "max_steps": 10}
    trained = trainer(network=ours, data=rows(dtype=DOUBLE), **settings)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5)
    batches = [batch for epoch in range(3) for batch in trained.batches.epoch(epoch)][:10]
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(theirs(batch["inputs"]), batch["targets"]).backward()
        optimizer.step()
        for name, parameter in theirs.named_parameters():
            if name.endswith("weight"):
                parameter.data = torch.from_numpy(projected(parameter.detach().numpy(), 0.8))
    trained.run()
    assert_close(ours, theirs, 1e-5)  # torch.renorm adds 1e-7 to the norm it divides by
    norms = torch.cat([p.norm(dim=1) for n, p in ours.named_parameters() if n.endswith("weight")])
    assert norms.max() <= 0.8 and (norms > 0.799).any()


def test_weight_noise_is_seeded_scaled_and_gone_afterwards_even_after_an_error():
    weight = torch.randn(200, 300, generator=generator(0))
    kept, draws = weight.clone(), []
    for seed in (1, 1, 2):
        with noisy_weights([weight], 0.5, generator(seed)):
            draws.append(weight - kept)
        assert torch.equal(weight, kept)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    # 60,000 draws: the standard error of mean and deviation is below 0.0021, five of them 0.0102
    assert abs(draws[0].mean().item()) < 0.0103 and abs(draws[0].std().item() - 0.5) < 0.0073
    with pytest.raises(ZeroDivisionError), noisy_weights([weight], 0.5, generator(1)):
        raise ZeroDivisionError
    assert torch.equal(weight, kept)


def test_training_with_weight_noise_takes_the_gradient_at_the_noisy_point_and_steps_from_the_clean_one():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.25)
    seen = []

    def loss(network, batch, source):
        seen.append(network.weight.item())
        return Loss((network(batch["inputs"]) - batch["targets"]).square().sum(), 1.0, {})

    data = {"inputs": torch.tensor([[2.0]]), "targets": torch.tensor([[3.0]])}
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "weight_noise": 0.5, "max_epochs": 1}
    trainer(network=network, data=data, loss=loss, **settings).run()
    (noisy,) = seen
    assert abs(noisy - 0.25) > 1e-3
    slope = 2 * (noisy * 2 - 3) * 2  # of (2 w - 3)² at the noisy weight
    assert network.weight.item() == pytest.approx(0.25 - 0.1 * slope, rel=1e-6)


def test_a_line_search_compares_one_function_dropout_and_noise_included():
    network, draws = classifier(dropout=0.5), []

    def loss(network, batch, source):
        # at the first evaluation of a step the weights are the clean ones plus noise: record what dropout draws
        draws.append((torch.get_rng_state(), source.get_state()))
        return head_loss(network.head)(network, batch, source)

    trained = trainer(network=network, loss=loss, optimizer="lbfgs", weight_noise=0.01, max_steps=2)
    trained.run()
    masks = {bytes(state.numpy()) for state, _ in draws}
    noises = {bytes(state.numpy()) for _, state in draws}
    assert len(draws) > 6 and len(masks) == 2 and len(noises) == 2


def test_the_average_follows_its_closed_form():
    parameter, start = torch.zeros(3, dtype=DOUBLE), torch.tensor([1.0, -1.0, 2.0], dtype=DOUBLE)
    parameter.copy_(start)
    average = Average([parameter], 0.7)
    values = torch.randn(12, 3, generator=generator(0), dtype=DOUBLE)
    for value in values:
        parameter.copy_(value)
        average.update()
    decays = [min(0.7, (1 + t) / (10 + t)) for t in range(12)]
    shares = [np.prod(decays)] + [(1 - d) * np.prod(decays[t + 1 :]) for t, d in enumerate(decays)]
    assert sum(shares) == pytest.approx(1.0)
    wanted = sum(s * v for s, v in zip(shares, [start, *values], strict=True))
    torch.testing.assert_close(average.values[0], wanted)
    assert torch.equal(parameter, values[-1])


def test_the_average_is_torchs_exponential_one_where_the_decay_is_in_force_from_the_start():
    network = nn.Linear(3, 2).double()
    decay = 0.1  # (1 + t) / (10 + t) is never less
    average = Average(list(network.parameters()), decay)
    oracle = AveragedModel(network, avg_fn=lambda a, w, n: decay * a + (1 - decay) * w)
    oracle.update_parameters(network)  # its first update copies, as ours does when it is made
    for step in range(6):
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator(step), dtype=DOUBLE)
        average.update()
        oracle.update_parameters(network)
    for value, wanted in zip(average.values, oracle.module.parameters(), strict=True):
        torch.testing.assert_close(value, wanted.data)


def test_applied_averages_leave_no_trace():
    network = classifier()
    average = Average(list(network.parameters()), 0.9)
    for parameter in network.parameters():
        parameter.data.add_(1.0)
    raw = [p.detach().clone() for p in network.parameters()]
    with average.applied():
        assert all(torch.allclose(p, r - 1.0) for p, r in zip(network.parameters(), raw, strict=True))
    assert all(torch.equal(p, r) for p, r in zip(network.parameters(), raw, strict=True))


@pytest.mark.parametrize("watch", [False, True])
def test_training_ends_on_the_average_and_validates_it(watch):
    seen = []

    def evaluate(network):
        seen.append([p.detach().clone() for p in network.parameters()])
        return {"loss": float(-len(seen)), "score": 0.0}  # every epoch is the best so far

    kept = []

    def loss(network, batch, source):
        kept.append([p.detach().clone() for p in network.parameters()])
        return head_loss(network.head)(network, batch, source)

    network = classifier(dtype=DOUBLE)
    settings = {"learning_rate": 0.1, "average_decay": 0.6, "max_epochs": 2, "optimizer": "sgd"}
    trained = trainer(network=network, data=rows(dtype=DOUBLE), loss=loss, evaluate=evaluate, watch=watch, **settings)
    raw = []
    trained.callbacks.append(lambda t, e: raw.append([p.detach().clone() for p in t.network.parameters()]))
    trained.run()
    weights = [*kept, raw[-2]]  # before each step, and after the last
    average = weights[0]
    for t, now in enumerate(weights[1:]):
        decay = min(0.6, (1 + t) / (10 + t))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, now, strict=True)]
    for parameter, wanted, last in zip(network.parameters(), average, seen[-1], strict=True):
        torch.testing.assert_close(parameter.data, wanted)
        assert torch.equal(parameter.data, last)


def test_dropout_is_on_in_training_only_and_seeded():
    modes, outputs = [], []

    def loss(network, batch, source):
        modes.append(network.training)
        with torch.no_grad():
            outputs.append(torch.equal(network(batch["inputs"]), network(batch["inputs"])))
        return head_loss(network.head)(network, batch, source)

    data = rows()

    def evaluate(network):
        modes.append(network.training)
        outputs.append(torch.equal(network(data["inputs"]), network(data["inputs"])))
        return measured(data)(network)

    results = []
    for _ in range(2):
        trained = trainer(network=classifier(dropout=0.5), data=data, loss=loss, evaluate=evaluate, max_epochs=1)
        trained.run()
        results.append(torch.cat([p.detach().flatten() for p in trained.network.parameters()]))
        assert not trained.network.training
    assert modes == ([True] * 4 + [False]) * 2
    assert outputs == ([False] * 4 + [True]) * 2
    assert torch.equal(*results)


def test_label_smoothing_is_torchs_along_a_trajectory():
    ours, theirs = classifier(dtype=DOUBLE), classifier(dtype=DOUBLE)
    smoothed = head_loss(ours.head, label_smoothing=0.2)
    trained = trainer(
        network=ours, data=rows(dtype=DOUBLE), loss=smoothed, optimizer="adam", learning_rate=0.05, max_steps=10
    )
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.05)
    batches = [batch for epoch in range(3) for batch in trained.batches.epoch(epoch)][:10]
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(theirs(batch["inputs"]), batch["targets"], label_smoothing=0.2).backward()
        optimizer.step()
    trained.run()
    assert_close(ours, theirs)


def test_bf16_computes_products_in_bf16_and_keeps_weights_in_float32():
    found = []
    network = HeadedNetwork(None, MLP(4, (6,)), GaussianHead(6))
    network.body.layers[0].register_forward_hook(lambda module, inputs, output: found.append(output.dtype))
    data = {"inputs": rows()["inputs"], "targets": torch.randn(26, generator=generator(0))}
    trained = trainer(network=network, data=data, precision="bf16", max_epochs=30, learning_rate=0.01)
    trained.run()
    assert set(found) == {torch.bfloat16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
