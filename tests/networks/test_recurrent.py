import math

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import BinaryHead
from gradus.networks.recurrent import CELLS, RecurrentNetwork, SequenceFeatures, detached
from gradus.networks.recurrent.sequences import reverse
from gradus.training.losses import head_loss

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CLOSE = {"atol": 1e-6, "rtol": 0}


def padded(sequences, time, filler=0.0):
    batch = torch.full((len(sequences), time, sequences[0].shape[1]), filler)
    for row, sequence in zip(batch, sequences, strict=True):
        row[: len(sequence)] = sequence
    return batch, torch.tensor([len(s) for s in sequences])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", TORCH)
def test_each_padded_sequence_is_what_torch_makes_of_it_alone(cell, bidirectional):
    network = RecurrentNetwork(3, 5, layers=2, cell=cell, bidirectional=bidirectional)
    oracle = TORCH[cell](3, 5, 2, batch_first=True, bidirectional=bidirectional)
    oracle.load_state_dict(network.core.state_dict())
    sequences = [torch.randn(n, 3) for n in (4, 1, 7)]
    outputs, last, state = network(*padded(sequences, 9, 1e3))
    for i, sequence in enumerate(sequences):
        wanted, ended = oracle(sequence[None])
        hidden = ended[0] if cell == "lstm" else ended
        torch.testing.assert_close(outputs[i, : len(sequence)], wanted[0], **CLOSE)
        assert outputs[i, len(sequence) :].abs().max() == 0
        top = torch.cat([hidden[-2, 0], hidden[-1, 0]]) if bidirectional else hidden[-1, 0]
        torch.testing.assert_close(last[i], top, **CLOSE)
        torch.testing.assert_close(state[0][i], hidden[:, 0], **CLOSE)
        if cell == "lstm":
            torch.testing.assert_close(state[1][i], ended[1][:, 0], **CLOSE)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_neither_results_nor_gradients(cell, bidirectional):
    network = RecurrentNetwork(3, 6, layers=2, cell=cell, bidirectional=bidirectional)
    sequences = [torch.randn(n, 3) for n in (4, 1, 7, 5)]
    parameters = list(network.parameters())
    alone = [network(sequence[None]) for sequence in sequences]
    wanted = torch.autograd.grad(sum(run.last.sum() for run in alone), parameters)
    order = [2, 0, 3, 1]
    for chosen, time, filler in ((range(4), 7, 0.0), (order, 12, math.nan)):
        run = network(*padded([sequences[i] for i in chosen], time, filler))
        for row, i in enumerate(chosen):
            n = len(sequences[i])
            torch.testing.assert_close(run.outputs[row, :n], alone[i].outputs[0], **CLOSE)
            torch.testing.assert_close(run.last[row], alone[i].last[0], **CLOSE)
            assert run.outputs[row, n:].abs().sum() == 0
            for part, whole in zip(run.state, alone[i].state, strict=True):
                torch.testing.assert_close(part[row], whole[0], **CLOSE)
        found = torch.autograd.grad(run.last.sum(), parameters)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_chunks_with_the_state_carried_are_the_whole(cell):
    network = RecurrentNetwork(3, 8, layers=2, cell=cell)
    sequences = [torch.randn(9, 3), torch.randn(7, 3)]
    # The second sequence has a short middle chunk: from there on the two are at different steps.
    chunks = [([s[:3] for s in sequences], 3), ([sequences[0][3:6], sequences[1][3:4]], 3)]
    chunks.append(([sequences[0][6:9], sequences[1][4:7]], 4))
    state, lasts = None, None
    for chunk, time in chunks:
        _, lasts, state = network(*padded(chunk, time), state)
    for i, sequence in enumerate(sequences):
        _, last, end = network(sequence[None])
        torch.testing.assert_close(lasts[i], last[0], **CLOSE)
        for part, whole in zip(state, end, strict=True):
            torch.testing.assert_close(part[i], whole[0], **CLOSE)


def test_a_detached_state_cuts_the_gradient_and_nothing_else():
    network = RecurrentNetwork(2, 4, cell="lstm")
    first, second = torch.randn(1, 3, 2, requires_grad=True), torch.randn(1, 3, 2)
    state = network(first).state
    carried = network(second, state=state).last
    cut = network(second, state=detached(state)).last
    assert torch.equal(carried, cut)
    assert torch.autograd.grad(carried.sum(), first, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(cut.sum(), first, allow_unused=True)[0] is None


def test_reversing_keeps_the_padding_in_place():
    inputs = torch.arange(1.0, 9.0).reshape(2, 4, 1)
    assert reverse(inputs, torch.tensor([3, 1])).flatten().tolist() == [3, 2, 1, 4, 5, 6, 7, 8]
    assert reverse(inputs).flatten().tolist() == [4, 3, 2, 1, 8, 7, 6, 5]


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_recurrent_weights_begin_orthogonal_gate_by_gate(cell, gates):
    core = RecurrentNetwork(3, 16, layers=2, cell=cell, bidirectional=True).core
    names = [name for name, _ in core.named_parameters() if name.startswith("weight_hh")]
    assert len(names) == 4
    for name in names:
        for block in getattr(core, name).detach().chunk(gates):
            torch.testing.assert_close(block @ block.T, torch.eye(16), atol=1e-5, rtol=0)


def test_an_lstm_begins_by_remembering():
    inputs, cells = torch.zeros(1, 1, 3), torch.linspace(-1, 1, 4)[None, None]
    state = (torch.zeros(1, 1, 4), cells)
    kept = RecurrentNetwork(3, 4).forward(inputs, state=state).state[1]
    torch.testing.assert_close(kept, cells / (1 + math.exp(-1)))


def test_a_gru_begins_by_remembering():
    network, hidden = RecurrentNetwork(3, 4, cell="gru"), torch.linspace(-1, 1, 4)[None, None]
    nn.init.zeros_(network.core.weight_hh_l0)
    kept = network(torch.zeros(1, 1, 3), state=(hidden,)).state[0]
    torch.testing.assert_close(kept, hidden / (1 + math.exp(-1)))


def test_uniform_is_torchs_own_draw():
    with isolated(3):
        ours = RecurrentNetwork(3, 5, layers=2, initialization="uniform").core.state_dict()
    with isolated(3):
        theirs = nn.LSTM(3, 5, 2, batch_first=True).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    leaky = RecurrentNetwork(3, 100, cell="leaky", initialization="uniform").core.layers[0][0]
    assert 0.09 < leaky.recurrent_weight.detach().abs().max() <= 0.1


@pytest.mark.parametrize("cell", ["gru", "leaky"])
def test_dropout_acts_on_one_layer_too_and_only_in_training(cell):
    network = RecurrentNetwork(3, 400, cell=cell, dropout=0.25)
    x = torch.randn(2, 4, 3)
    outputs, last, state = network(x)
    assert torch.equal(last, outputs[:, -1])
    assert 0.15 < (outputs == 0).float().mean() < 0.35
    network.eval()
    clean = network(x)
    torch.testing.assert_close(state[0], clean.state[0])  # the recurrent path is left alone
    kept = outputs != 0
    torch.testing.assert_close(outputs[kept], clean.outputs[kept] / 0.75)


def test_dropout_between_layers_changes_the_layer_above():
    network = RecurrentNetwork(3, 8, layers=2, cell="multiscale", dropout=0.5)
    x = torch.randn(2, 4, 3)
    one, other = network(x).state[0], network(x).state[0]
    assert torch.equal(one[:, 0], other[:, 0]) and not torch.equal(one[:, 1], other[:, 1])


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_features_of_a_sequence_do_not_see_the_padding(pooling):
    body = SequenceFeatures(RecurrentNetwork(3, 5, bidirectional=True), pooling)
    sequences = [torch.randn(n, 3) for n in (4, 2, 6)]
    features = body(*padded(sequences, 8, math.nan))
    assert features.shape == (3, body.out_features)
    for row, sequence in zip(features, sequences, strict=True):
        torch.testing.assert_close(row, body(sequence[None])[0], **CLOSE)
    outputs = body.recurrent(sequences[0][None]).outputs[0].detach().numpy()
    wanted = {"mean": outputs.mean(0), "max": outputs.max(0), "last": np.r_[outputs[-1, :5], outputs[0, 5:]]}
    np.testing.assert_allclose(features[0].detach().numpy(), wanted[pooling], atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "leaky"])
def test_it_learns_to_recall_the_first_bit(cell):
    """The answer is the first input's sign, thirty steps of noise ago."""
    with isolated(0):
        body = SequenceFeatures(RecurrentNetwork(1, 24, cell=cell))
        network = HeadedNetwork(None, body, BinaryHead(24))
        loss = head_loss(network.head)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(120):
            x = torch.randn(64, 30, 1) * 0.3
            x[:, 0] = x[:, 0].sign()
            result = loss(network, {"inputs": x, "targets": (x[:, 0, 0] > 0).long()}, torch.Generator())
            optimizer.zero_grad()
            (result.total / result.count).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    assert result.total / result.count < 0.1  # log 2 without a memory


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "lstn"}, "did you mean 'lstm'"),
        ({"initialization": "glorot"}, "initialization"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"alpha": 0.5}, "alpha"),
        ({"learn_alpha": False}, "alpha"),
        ({"periods": (1, 2)}, "periods"),
        ({"cell": "leaky", "alpha": 0.0}, r"\(0, 1\)"),
        ({"cell": "leaky", "alpha": 1.0, "learn_alpha": False}, r"\[0, 1\)"),
        ({"cell": "leaky", "alpha": [0.5, 0.5]}, "one alpha or 8"),
        ({"cell": "multiscale", "periods": (2, 1)}, "ascending"),
        ({"cell": "multiscale", "periods": ()}, "ascending"),
        ({"cell": "multiscale", "periods": tuple(range(1, 10))}, "1 to 8"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        RecurrentNetwork(**{"in_features": 3, "width": 8, **settings})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2, 5, 4),), r"\(batch, time, 3\)"),
        ((torch.zeros(2, 5),), r"\(batch, time, 3\)"),
        ((torch.zeros(2, 0, 3),), "one step or more"),
        ((torch.zeros(2, 5, 3, dtype=torch.int64),), "floating point"),
        ((torch.zeros(2, 5, 3), torch.tensor([5, 0])), "got 0 for example 1"),
        ((torch.zeros(2, 5, 3), torch.tensor([6, 5])), "from 1 to 5"),
        ((torch.zeros(2, 5, 3), torch.tensor([5])), r"shape \(2,\)"),
        ((torch.zeros(2, 5, 3), torch.tensor([5.0, 2.0])), "integer lengths"),
        ((torch.zeros(2, 5, 3), None, (torch.zeros(2, 1, 8),)), "a state of shapes"),
        ((torch.zeros(2, 5, 3), None, (torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))), "a state of shapes"),
    ],
)
def test_wrong_inputs_are_refused(arguments, words, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # would refuse before the network can
    with pytest.raises(InputError, match=words):
        RecurrentNetwork(3, 8)(*arguments)


def test_a_backward_direction_has_no_state_to_go_on_from():
    network = RecurrentNetwork(3, 8, bidirectional=True)
    x = torch.zeros(2, 5, 3)
    with pytest.raises(InputError, match="bidirectional"):
        network(x, state=network(x).state)
    with pytest.raises(SettingError, match="pooling"):
        SequenceFeatures(network, "sum")


def test_half_precision_and_double_follow_the_network():
    for dtype in (torch.float64, torch.bfloat16):
        for cell in CELLS:
            network = RecurrentNetwork(3, 8, cell=cell).to(dtype)
            run = network(torch.randn(2, 5, 3, dtype=dtype), torch.tensor([5, 3]))
            assert run.outputs.dtype == run.last.dtype == run.state[0].dtype == dtype
            assert F.mse_loss(run.last, torch.zeros_like(run.last)) > 0
