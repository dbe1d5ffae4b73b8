"""Networks that are divided over processes and put together again, and the memory that it takes."""

import copy
import gc
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from gradus.applications.vision.transfer import RatedPlayer
from gradus.core.randomness import derive, generator, isolated
from gradus.data.batches import TensorBatches
from gradus.networks import MLP, CategoricalHead, HeadedNetwork
from gradus.networks.convolutional import ConvNet, ResNet
from gradus.networks.recurrent import RecurrentNetwork, SequenceFeatures
from gradus.networks.transformer import Transformer
from gradus.training.loop import Trainer
from gradus.training.losses import Loss, head_loss
from gradus.training.options import TrainingOptions
from training.small import classifier, rows
from training.test_distribution import (
    DOUBLE,
    EXACT,
    tensors_of,
    together,
    trained,
)
from training.test_sharding import assert_divided, parted, small_blocks  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
    pytest.mark.usefixtures("no_sync"),
]


def headed(body, seed=0):
    with isolated(seed):
        body = body()
        return HeadedNetwork(None, body, CategoricalHead(body.out_features, 3)).to(DOUBLE)


def pictures(n=22):
    return {"inputs": torch.randn(n, 1, 8, 8, generator=generator(0), dtype=DOUBLE), "targets": torch.arange(n) % 3}


def series(n=22):
    return {"inputs": torch.randn(n, 6, 2, generator=generator(0), dtype=DOUBLE), "targets": torch.arange(n) % 3}


def sentences(n=22):
    return {"inputs": torch.randint(7, (n, 5), generator=generator(0)), "targets": torch.arange(n) % 3}


class Tied(nn.Module):
    """An embedding that is the read-out too, in a list of layers."""

    out_features = 7

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False)])
        self.layers[2].weight = self.layers[0].weight

    def forward(self, tokens):
        first, middle, last = self.layers
        return last(torch.tanh(middle(first(tokens)))).mean(1)


def transformer(**settings):
    shape = {"vocabulary": 7, "context": 5, "width": 8, "layers": 2, "heads": 2}
    return Transformer(**shape, causal=False, readout="mean", **settings)


NETWORKS = {
    "residual": (lambda: ResNet(1, depth=1, width=4, normalization="group"), pictures),
    "plain convolutions": (lambda: ConvNet(1, 8, (4, 6), 10), pictures),
    "recurrent": (lambda: SequenceFeatures(RecurrentNetwork(2, 5, layers=2, cell="lstm")), series),
    "transformer": (transformer, sentences),
    "experts": (lambda: transformer(experts=3, active=1), sentences),
    "tied": (Tied, sentences),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_all_kinds_are_divided_and_put_together_again(name, tmp_path):
    body, data = NETWORKS[name]

    def build():
        more = {"optimizer": "momentum", "gradient_clip": 1.0, "weight_decay": 0.01, "max_epochs": 2}
        return {"network": headed(body), "data": data(), "learning_rate": 0.05, "batch_size": 11, **more}

    assert_divided(tmp_path, build, **EXACT)


def test_a_frozen_layer_stays_and_a_slow_one_is_slow(tmp_path):
    def build():
        network = classifier(dtype=DOUBLE)
        first, last = network.body.layers[0], network.body.layers[2]
        for parameter in first.parameters():
            parameter.requires_grad_(False)
        options = TrainingOptions(batch_size=8, learning_rate=0.05, weight_decay=0.1, shard="on", optimizer="momentum")
        loss = head_loss(network.head)
        player = RatedPlayer("network", network, loss, options, slow=last, rate=0.1, seed=derive(0, "loss"))
        return network, player, options

    def fit(rank=0):
        network, player, options = build()
        batches = TensorBatches(rows(27, dtype=DOUBLE), batch_size=8, seed=derive(0, "order"))
        Trainer(network, [player], batches, replace(options, max_epochs=3)).run()
        return {"tensors": dict(network.state_dict())}

    together(tmp_path, fit)
    start, alone = build()[0].state_dict(), fit()["tensors"]
    for name, value in tensors_of(tmp_path, 1).items():
        torch.testing.assert_close(value, alone[name], **EXACT)
    assert torch.equal(alone["body.layers.0.weight"], start["body.layers.0.weight"])
    moved = {name: float((value - start[name]).abs().max()) for name, value in alone.items()}
    assert 0.01 < moved["body.layers.2.weight"] < moved["head.linear.weight"]


def looks(network):
    """What a network is, but for the values of its parameters."""
    return [
        [type(module).__name__, sorted(vars(module)), [len(v) for k, v in sorted(vars(module).items()) if "hooks" in k]]
        for module in network.modules()
    ]


@pytest.mark.parametrize("name", ["plain convolutions", "recurrent", "tied"])
def test_after_training_a_network_is_what_it_was_before(name, tmp_path):
    def work(rank):
        network = headed(NETWORKS[name][0])
        before, own = looks(network), dict(network.named_parameters(remove_duplicate=False))
        strides = [p.stride() for p in own.values()]
        trained(network=network, data=NETWORKS[name][1](), shard="on", max_epochs=1)
        after = dict(network.named_parameters(remove_duplicate=False))
        copied = copy.deepcopy(network)
        answer = copied(NETWORKS[name][1]()["inputs"])
        first = trained(network=network, data=NETWORKS[name][1](), shard="on", max_epochs=1)  # and once more
        return {
            "looks": before == looks(network),
            "own": all(after[key] is own[key] for key in own),
            "strides": strides == [p.stride() for p in after.values()],
            "plain": all(type(p) is nn.Parameter and p.grad is None for p in after.values()),
            "answers": answer.shape == (22, 3) and bool(answer.isfinite().all()),
            "again": first.players[0].execution,
        }

    said = together(tmp_path, work)[1]
    for part in said:
        assert part["said"].pop("again") == "eager; sharded over 2 processes", part
        assert all(part["said"].values()), part


def test_blocks_are_the_large_children_of_lists_that_share_nothing(monkeypatch):
    from gradus.training import sharded_network as module

    def blocks(network):
        pieces = {p: module.Piece(p, p.stride(), []) for p in network.parameters()}
        for layer in network.modules():
            for name, p in layer._parameters.items():
                if p is not None:
                    pieces[p].places.append((layer, name))
        names = {layer: name for name, layer in network.named_modules()}
        return [names[layer] for layer in module._blocks(network, pieces)]

    assert blocks(transformer(experts=3, active=1)) == ["stack.blocks.0", "stack.blocks.1"]
    assert blocks(Tied()) == ["layers.1"]
    assert blocks(nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(2, 2))) == ["0.0"]
    monkeypatch.setattr(module, "BLOCK", 10**6)
    assert blocks(transformer()) == []


class Reader(nn.Module):
    """Reads the weights of a layer without calling it."""

    out_features = 6

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 6)])

    def forward(self, inputs):
        return nn.functional.linear(inputs, self.layers[0].weight)


def test_a_network_that_reads_a_block_s_weights_is_refused_in_a_sentence(tmp_path):
    said = together(tmp_path, lambda rank: [parted(network=headed(Reader), data=rows(dtype=DOUBLE)).run()])[1]
    words = "expected a network that calls its large blocks as modules where it is sharded, got one that reads"
    assert any(part["said"]["words"].startswith(words) for part in said), said
    assert {part["said"]["error"] for part in said} <= {"SettingError", "PeerError"}


def test_a_block_s_output_may_be_a_view_that_is_written_to(tmp_path):
    class Turned(nn.Module):
        out_features = 4

        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Sequential(Shaped()), nn.Linear(4, 4)])

        def forward(self, inputs):
            hidden = self.layers[0](inputs)
            hidden += 1
            return self.layers[1](hidden)

    class Shaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, inputs):
            return (2 * self.inner(inputs)).T.T

    assert_divided(
        tmp_path, lambda: {"network": headed(Turned), "data": rows(dtype=DOUBLE), "learning_rate": 0.05}, **EXACT
    )


# -- memory ---------------------------------------------------------------------------------------------------------


def held():
    """Bytes of all numbers that this process holds in tensors."""
    gc.collect()
    found = {}
    for thing in gc.get_objects():
        dense = type(thing) in (torch.Tensor, nn.Parameter) and thing.layout is torch.strided
        if dense and thing.is_floating_point():  # sparse ones may be left from elsewhere in the process
            storage = thing.untyped_storage()
            found[storage._cdata] = storage.nbytes()
    return sum(found.values())


def wide():
    return HeadedNetwork(None, MLP(4, (300, 300, 300, 300, 300)), CategoricalHead(300, 3))


def test_each_process_holds_half_of_weights_gradients_and_memory(tmp_path):
    inside = []

    def looking(network, batch, source):
        blocks = [
            layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer.weight.numel() == 90000
        ]

        def entered(layer, inputs):
            inside.append(sum(type(other.weight) is nn.Parameter for other in blocks))

        handles = [block.register_forward_pre_hook(entered) for block in blocks]
        parameters = network(batch["inputs"])
        for handle in handles:
            handle.remove()
        return Loss(network.head.losses(parameters, batch["targets"]).sum(), float(len(parameters)), {})

    def work(shard):
        def fit(rank):
            seen, before = [], held()  # what other tests have left in this process is not of this training

            def look(run, event):
                if event == "epoch":
                    run.check_finite()
                    player = run.players[0]
                    memory = [v for state in player.optimizers[0].state.values() for v in state.values()]
                    numbers = [sum(map(torch.numel, part)) for part in (player.parameters, memory)]
                    seen.append([*numbers, sum(p.grad.numel() for p in player.parameters), held() - before])

            trained(
                network=wide(), data=rows(16), max_epochs=2, callbacks=[look], shard=shard, loss=looking,
                optimizer="adam",
            )  # fmt: skip
            return [seen[-1], inside]

        return fit

    whole = together(tmp_path / "whole", work("off"))[1]
    parts = together(tmp_path / "parts", work("on"))[1]
    total = sum(p.numel() for p in wide().parameters())
    for rank in range(2):
        weights, memory, gradients, _ = whole[rank]["said"][0]
        assert (weights, gradients) == (total, total) and 2 * total <= memory < 2.01 * total
    halves = [part["said"][0] for part in parts]
    assert sum(weights for weights, *_ in halves) == total  # each number is in one place
    for number, (weights, memory, gradients, live) in enumerate(halves):
        assert weights == gradients == pytest.approx(total / 2, rel=0.01)
        assert memory == pytest.approx(total, rel=0.01)
        assert live < 0.55 * whole[number]["said"][0][3]  # of all tensors that came, between two steps
    assert {count for part in parts for count in part["said"][1]} == {1}  # inside a step, one block is whole
