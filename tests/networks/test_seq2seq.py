import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.decoding import Decoder, beam, greedy
from gradus.networks.recurrent import Seq2Seq
from gradus.networks.recurrent.attention import AdditiveAttention, DotAttention

KINDS = ["additive", "dot", None]
CLOSE = {"atol": 1e-6, "rtol": 0}


def memory_of(places=6):
    queries, memory = torch.randn(2, 3, 4), torch.randn(2, places, 5)
    valid = torch.arange(places) < torch.tensor([[places], [places - 2]])
    return queries, memory, valid


def test_dot_attention_is_torchs_scaled_dot_product():
    queries, memory, valid = memory_of()
    attention = DotAttention(4, 5, 7)
    context, weights = attention(queries, attention.keys(memory), memory, valid)
    q, k = queries @ attention.query.weight.T, memory @ attention.key.weight.T
    wanted = F.scaled_dot_product_attention(q, k, memory, attn_mask=valid[:, None])
    torch.testing.assert_close(context, wanted, **CLOSE)
    assert weights[1, :, 4:].abs().max() == 0


def test_additive_attention_is_its_equation_entry_by_entry():
    queries, memory, valid = memory_of()
    attention = AdditiveAttention(4, 5, 7)
    context, weights = attention(queries, attention.keys(memory), memory, valid)
    W, U, b, v = (
        p.detach().numpy().astype(float)
        for p in (attention.query.weight, attention.key.weight, attention.key.bias, attention.score.weight[0])
    )
    for n, i in itertools.product(range(2), range(3)):
        places = range(int(valid[n].sum()))
        q, m = queries[n, i].numpy(), memory[n].numpy()
        scores = [np.exp(v @ np.tanh(W @ q + U @ m[j] + b)) for j in places]
        share = np.array(scores) / sum(scores)
        np.testing.assert_allclose(weights[n, i, : len(scores)].detach(), share, atol=1e-6)
        np.testing.assert_allclose(context[n, i].detach(), share @ m[: len(scores)], atol=1e-5)
    assert weights[1, :, 4:].abs().max() == 0


def example(**settings):
    network = Seq2Seq(11, 7, 8, **settings)
    source, lengths = torch.randint(11, (3, 6)), torch.tensor([6, 2, 4])
    return network, source, lengths, torch.randint(7, (3, 5))


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1), ("rnn", 2)])
def test_step_by_step_is_teacher_forcing(attention, cell, layers):
    network, source, lengths, previous = example(attention=attention, cell=cell, layers=layers, embedding=5)
    logits, weights = network(source, lengths, previous)
    state = network.begin(source, lengths)
    for t in range(5):
        stepped, state = network.step(state, previous[:, t])
        torch.testing.assert_close(stepped, logits[:, t], **CLOSE)
    assert isinstance(network, Decoder)
    if attention is None:
        assert weights is None
    else:
        torch.testing.assert_close(weights.sum(2), torch.ones(3, 5))
        beyond = torch.arange(6) >= lengths[:, None]
        assert weights.transpose(1, 2)[beyond].abs().max() == 0


@pytest.mark.parametrize("attention", KINDS)
def test_padding_of_sources_changes_nothing(attention):
    network, source, lengths, previous = example(attention=attention)
    logits, weights = network(source, lengths, previous)
    wider = torch.cat([source, torch.zeros(3, 4, dtype=torch.int64)], 1)
    for i, n in enumerate(lengths.tolist()):
        wider[i, n:] = torch.randint(11, (10 - n,))
        alone, seen = network(source[i : i + 1, :n], None, previous[i : i + 1])
        torch.testing.assert_close(alone[0], logits[i], **CLOSE)
        if attention is not None:
            torch.testing.assert_close(seen[0], weights[i, :, :n], **CLOSE)
    torch.testing.assert_close(network(wider, lengths, previous).logits, logits, **CLOSE)


@pytest.mark.parametrize("attention", KINDS)
def test_logits_see_the_source_and_the_past_only(attention):
    network, source, _, previous = example(attention=attention)
    source_seen, target_seen = [], []
    network.source_embedding.register_forward_hook(lambda *hooked: source_seen.append(hooked[2]))
    network.target_embedding.register_forward_hook(lambda *hooked: target_seen.append(hooked[2]))
    logits, _ = network(source, None, previous)
    into_source, into_target = torch.autograd.grad(logits[:, 2].sum(), [source_seen[0], target_seen[0]])
    assert (into_source.abs().sum(2) > 0).all()
    assert (into_target[:, :3].abs().sum(2) > 0).all() and into_target[:, 3:].abs().max() == 0


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_attention_does_not_care_for_the_order_of_the_memory(attention):
    network, source, lengths, _ = example(attention=attention)
    state = network.begin(source, lengths)
    order = torch.randperm(6)
    shuffled = state._replace(memory=state.memory[:, order], keys=state.keys[:, order], valid=state.valid[:, order])
    tokens = torch.tensor([1, 2, 3])
    torch.testing.assert_close(network.step(state, tokens)[0], network.step(shuffled, tokens)[0], **CLOSE)


def test_bahdanaus_context_comes_before_the_step_and_luongs_after():
    """Of the first step's logits, additive weights depend on the beginning alone, dot weights on the first token."""
    for attention, differs in (("additive", False), ("dot", True)):
        network, source, lengths, previous = example(attention=attention)
        one = network(source, lengths, previous).weights[:, 0]
        other = network(source, lengths, (previous + 1) % 7).weights[:, 0]
        assert torch.equal(one, other) != differs


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_full_beam_search_is_brute_force_over_the_training_likelihood(attention, penalty):
    with isolated(5):
        network = Seq2Seq(5, 3, 6, attention=attention, cell="gru").eval()
        nn.init.normal_(network.vocabulary.weight, std=3.0)
    source, lengths = torch.tensor([[1, 4, 2], [3, 0, 0]]), torch.tensor([3, 1])
    begin, end, limit = 1, 0, 4
    every = [
        tokens
        for n in range(1, limit + 1)
        for tokens in itertools.product(range(3), repeat=n)
        if end not in tokens[:-1] and (tokens[-1] == end or n == limit)
    ]
    scores = torch.empty(2, len(every))
    with torch.no_grad():
        for k, tokens in enumerate(every):
            previous = torch.tensor([[begin, *tokens[:-1]]] * 2)
            log_p = network(source, lengths, previous).logits.log_softmax(2)
            total = log_p.gather(2, torch.tensor([tokens] * 2)[:, :, None]).sum((1, 2))
            scores[:, k] = total / ((5 + len(tokens)) / 6) ** penalty
    found = beam(
        network, source, lengths, begin_token=begin, end_token=end, limit=limit, width=81, length_penalty=penalty
    )
    for row in range(2):
        best = int(scores[row].argmax())
        length = int(found.lengths[row, 0])
        assert tuple(found.tokens[row, 0, :length].tolist()) == every[best]
        torch.testing.assert_close(found.score[row, : len(every)], scores[row].sort(descending=True).values)


def reversals(n, generator):
    lengths = torch.randint(3, 6, (n,), generator=generator)
    source = torch.randint(2, 8, (n, 5), generator=generator)
    target = torch.zeros(n, 6, dtype=torch.int64)  # 0 ends, 1 begins
    for i, m in enumerate(lengths.tolist()):
        target[i, :m] = source[i, :m].flip(0)
    return source, lengths, target


def learned(attention, steps):
    generator = torch.Generator().manual_seed(1)
    network = Seq2Seq(8, 8, 32, cell="gru", attention=attention)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        source, lengths, target = reversals(48, generator)
        previous = torch.cat([torch.ones(48, 1, dtype=torch.int64), target[:, :-1]], 1)
        said = torch.arange(6) <= lengths[:, None]
        loss = F.cross_entropy(network(source, lengths, previous).logits[said], target[said])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval(), generator


@pytest.mark.parametrize("attention", ["additive", "dot"])
def test_it_learns_to_reverse_and_its_attention_runs_backwards(attention):
    with isolated(0):
        network, generator = learned(attention, 150)
    source, lengths, target = reversals(200, generator)
    said = greedy(network, source, lengths, begin_token=1, end_token=0, limit=6)
    right = (F.pad(said.tokens, (0, 6 - said.tokens.shape[1])) == target).all(1).float().mean()
    assert right > 0.9
    previous = torch.cat([torch.ones(200, 1, dtype=torch.int64), target[:, :-1]], 1)
    with torch.no_grad():
        weights = network(source, lengths, previous).weights
    # Where the decoder looks moves one place back with every step: a slope of minus one.
    places = (weights * torch.arange(5)).sum(2)
    slopes = [np.polyfit(range(m), places[i, :m], 1)[0] for i, m in enumerate(lengths.tolist())]
    assert np.median(slopes) == pytest.approx(-1, abs=0.35)


def test_beam_search_finds_more_probable_sequences_than_greedy_in_a_half_trained_network():
    with isolated(0):
        network, generator = learned("dot", 20)
    source, lengths, _ = reversals(100, generator)
    settings = {"begin_token": 1, "end_token": 0, "limit": 6}
    said = greedy(network, source, lengths, **settings).log_probability
    found = beam(network, source, lengths, width=8, **settings).best.log_probability
    assert found.mean() > said.mean() + 0.03
    assert (found >= said - 1e-5).float().mean() > 0.9


def test_dropout_acts_in_training_only():
    network, source, lengths, previous = example(dropout=0.5)
    assert not torch.equal(network(source, lengths, previous).logits, network(source, lengths, previous).logits)
    network.eval()
    assert torch.equal(network(source, lengths, previous).logits, network(source, lengths, previous).logits)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attention": "dott"}, "did you mean 'dot'"),
        ({"cell": "leaky"}, "cell"),
        ({"width": 0}, "width"),
        ({"embedding": 0}, "embedding"),
        ({"layers": 0}, "layers"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        Seq2Seq(**{"source_size": 5, "target_size": 5, "width": 8, **settings})


def test_wrong_tokens_are_refused():
    network, source, lengths, previous = example()
    with pytest.raises(InputError, match="source tokens from 0 to 10"):
        network(source + 11, lengths, previous)
    with pytest.raises(InputError, match="previous tokens from 0 to 6"):
        network(source, lengths, previous - 7)
    with pytest.raises(InputError, match="got 0 for example 1"):
        network(source, torch.tensor([1, 0, 1]), previous)
    with pytest.raises(InputError, match=r"\(batch, time\)"):
        network(source[:, :0], None, previous)
