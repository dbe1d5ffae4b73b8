import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from gradus.core.errors import InputError, SettingError
from gradus.networks.decoding import Decoder, beam, greedy, select

END = 0


class Table:
    """Log-probabilities looked up by the whole past, so that every prefix has its own distribution.

    The state is a dict with the example's table, the code of the prefix, and a number all rows share.
    """

    def __init__(self, size, limit, seed=0, scale=2.0):
        generator = torch.Generator().manual_seed(seed)
        self.size, self.limit = size, limit
        prefixes = sum(size**n for n in range(limit))
        self.logits = scale * torch.randn(5, prefixes, size, generator=generator, dtype=torch.float64)
        self.calls = 0

    def begin(self, source, lengths=None):
        return {"example": source[:, 0], "code": torch.zeros(len(source), dtype=torch.int64), "time": 0}

    def step(self, state, tokens):
        self.calls += 1
        time = state["time"]
        # Children of prefix c are numbered c * size + 1 ... c * size + size, as in a heap.
        code = state["code"] if time == 0 else state["code"] * self.size + 1 + tokens
        return self.logits[state["example"], code], {"example": state["example"], "code": code, "time": time + 1}

    def log_probability(self, example, tokens):
        code, total = 0, 0.0
        for token in tokens:
            total += float(self.logits[example, code].log_softmax(0)[token])
            code = code * self.size + 1 + token
        return total

    def everything(self, example):
        """All sequences with their log-probability: ended, or cut at the limit."""
        found = []
        for n in range(1, self.limit + 1):
            for tokens in itertools.product(range(self.size), repeat=n):
                ended = tokens[-1] == END
                if END not in tokens[:-1] and (ended or n == self.limit):
                    found.append((tokens, self.log_probability(example, tokens)))
        return found


def spoken(tokens, length):
    return tuple(tokens[: int(length)].tolist())


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.5])
@pytest.mark.parametrize(("size", "limit"), [(3, 4), (2, 5), (4, 3)])
def test_as_many_beams_as_sequences_are_brute_force(size, limit, penalty):
    table = Table(size, limit)
    source = torch.tensor([[2], [0], [4]])
    width = size**limit
    found = beam(table, source, begin_token=1, end_token=END, limit=limit, width=width, length_penalty=penalty)
    for row, example in enumerate([2, 0, 4]):
        every = table.everything(example)
        assert math.fsum(math.exp(p) for _, p in every) == pytest.approx(1)
        score = {tokens: p / ((5 + len(tokens)) / 6) ** penalty for tokens, p in every}
        ranked = sorted(every, key=lambda one: -score[one[0]])
        n = len(ranked)
        assert (found.lengths[row] > 0).sum() == n and n < width
        assert (found.log_probability[row, n:] == -torch.inf).all() and (found.tokens[row, n:] == END).all()
        said = [spoken(*pair) for pair in zip(found.tokens[row, :n], found.lengths[row, :n], strict=True)]
        assert said == [tokens for tokens, _ in ranked]
        np.testing.assert_allclose(found.log_probability[row, :n], [p for _, p in ranked], atol=1e-5)
        np.testing.assert_allclose(found.score[row, :n], [score[tokens] for tokens in said], atol=1e-5)


def test_greedy_takes_the_largest_at_every_step():
    table = Table(3, 6)
    said = greedy(table, torch.arange(5)[:, None], begin_token=1, end_token=END, limit=6)
    for example in range(5):
        tokens, code = [], 0
        while len(tokens) < 6 and END not in tokens:
            tokens.append(int(table.logits[example, code].argmax()))
            code = code * 3 + 1 + tokens[-1]
        assert spoken(said.tokens[example], said.lengths[example]) == tuple(tokens)
        assert (said.tokens[example, len(tokens) :] == END).all()
        assert float(said.log_probability[example]) == pytest.approx(table.log_probability(example, tokens), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_one_beam_is_greedy_and_more_find_better_on_average(seed):
    table = Table(4, 6, seed)
    source = torch.arange(5)[:, None]
    settings = {"begin_token": 1, "end_token": END, "limit": 6}
    one = greedy(table, source, **settings)
    alone = beam(table, source, width=1, **settings).best
    n = one.tokens.shape[1]
    assert torch.equal(alone.tokens[:, :n], one.tokens) and torch.equal(alone.lengths, one.lengths)
    torch.testing.assert_close(alone.log_probability, one.log_probability)
    means = [one.log_probability.mean()]
    for width in (4, 64):
        found = beam(table, source, width=width, **settings)
        means.append(found.best.log_probability.mean())
        for example in range(5):  # what is reported is what the model says of it
            tokens = spoken(found.tokens[example, 0], found.lengths[example, 0])
            true = table.log_probability(example, tokens)
            assert float(found.log_probability[example, 0]) == pytest.approx(true, abs=1e-5)
            assert true <= max(p for _, p in table.everything(example)) + 1e-9
    assert means[0] <= means[1] <= means[2] and means[0] < means[2]


def test_the_search_stops_when_nothing_can_win_any_more():
    table = Table(3, 8, scale=0.0)
    table.logits[:, :, END] = 10.0  # nearly all probability ends at once
    found = beam(table, torch.tensor([[0], [1]]), begin_token=1, end_token=END, limit=8, width=2)
    assert table.calls <= 3 and found.lengths[:, 0].tolist() == [1, 1]
    table.calls = 0
    said = greedy(table, torch.tensor([[0], [1]]), begin_token=1, end_token=END, limit=8)
    assert table.calls == 1 and said.tokens.tolist() == [[END], [END]] and said.lengths.tolist() == [1, 1]


def test_sequences_cut_at_the_limit_are_told_from_ended_ones():
    table = Table(3, 4, scale=0.0)
    table.logits[:, :, END] = -50.0
    found = beam(table, torch.tensor([[0]]), begin_token=1, end_token=END, limit=4, width=3).best
    assert found.lengths.tolist() == [4] and END not in found.tokens[0].tolist()


def test_a_length_penalty_favours_longer_sequences():
    # Ending at once has log-probability log 0.4; two more tokens and an end log 0.6: told apart by length.
    table = Table(2, 3, scale=0.0)
    table.logits[:, 0] = torch.tensor([0.55, 0.45]).log()
    table.logits[:, 2] = torch.tensor([1.0, 1e-12]).log()
    settings = {"begin_token": 1, "end_token": END, "limit": 3, "width": 4}
    assert beam(table, torch.tensor([[0]]), **settings).lengths[0, 0] == 1
    assert beam(table, torch.tensor([[0]]), length_penalty=3.0, **settings).lengths[0, 0] == 2


class Pair(NamedTuple):
    a: torch.Tensor
    b: object


def test_states_of_every_shape_are_selected_by_row():
    rows = torch.tensor([1, 1, 0])
    tensor = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    state = Pair(tensor, [{"x": (tensor, None)}, 7, torch.tensor(5.0)])
    chosen = select(state, rows)
    assert isinstance(chosen, Pair) and isinstance(chosen.b, list) and isinstance(chosen.b[0]["x"], tuple)
    for part in (chosen.a, chosen.b[0]["x"][0]):
        assert torch.equal(part, tensor[[1, 1, 0]])
    assert chosen.b[0]["x"][1] is None and chosen.b[1] == 7 and chosen.b[2] == 5.0


def test_a_table_is_a_decoder_and_wrong_settings_are_refused():
    table = Table(3, 3)
    assert isinstance(table, Decoder) and not isinstance(object(), Decoder)
    source, tokens = torch.tensor([[0]]), {"begin_token": 1, "end_token": END}
    for call in (greedy, beam):
        with pytest.raises(SettingError, match="limit"):
            call(table, source, limit=0, **tokens)
        with pytest.raises(InputError, match="one example"):
            call(table, source[:0], limit=3, **tokens)
    for settings in ({"width": 0}, {"length_penalty": -1.0}, {"length_penalty": math.nan}):
        with pytest.raises(SettingError, match="length_penalty"):
            beam(table, source, limit=3, **tokens, **settings)


def test_nothing_is_recorded_for_gradients():
    table = Table(3, 3)
    table.logits.requires_grad_()
    said = greedy(table, torch.tensor([[0]]), begin_token=1, end_token=END, limit=3)
    found = beam(table, torch.tensor([[0]]), begin_token=1, end_token=END, limit=3)
    assert not said.log_probability.requires_grad and not found.score.requires_grad
