"""How a recurrent language model begins: scales, and beside torch's own layers as they come."""

import gzip
import math

import jaxtyping
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.randomness import isolated
from gradus.networks.recurrent.language import RecurrentLanguageModel


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_read_begins_with_unit_variance_and_what_is_said_with_a_smaller_one(tied):
    with isolated(0):
        model = RecurrentLanguageModel(200, 256, tied=tied)
        tokens = torch.arange(200).unsqueeze(0)
        read = []
        model.recurrent.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
        logits = model(tokens)
    # 51,200 draws: the standard deviation is known to 0.3 %, so 3 % is ten of its errors.
    assert float(read[0].detach().std()) == pytest.approx(1, rel=0.03)
    # Hidden units lie in (-1, 1), so logits are near nothing: the first loss is that of guessing, log 200 nats.
    assert float(F.cross_entropy(logits[0, :-1], tokens[0, 1:]).detach()) == pytest.approx(math.log(200), abs=0.1)


@pytest.mark.parametrize("tied", [False, True])
def test_stepping_after_a_prompt_says_what_reading_it_whole_says(tied):
    model = RecurrentLanguageModel(11, 16, layers=2, tied=tied)
    tokens = torch.randint(11, (3, 7))
    whole = model(tokens)
    state = model.begin(tokens[:, :4])
    for place in range(4, 7):
        logits, state = model.step(state, tokens[:, place])
        torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=0)
    assert (model.output.weight is model.embedding.weight) == tied


class AsTorchComes(nn.Module):
    """The same network of torch's layers, each as it is drawn by default."""

    def __init__(self, vocabulary, width):
        super().__init__()
        self.embedding, self.core = nn.Embedding(vocabulary, width), nn.LSTM(width, width, batch_first=True)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        return self.output(self.core(self.embedding(tokens))[0])


def held_out_nats(model, text, steps):
    """Train on windows of 64 characters, 12 a step, and return the loss on the text's last tenth."""
    cut, source = int(0.9 * len(text)), torch.Generator().manual_seed(0)

    def windows(part, n):
        at = torch.randint(len(part) - 65, (n, 1), generator=source) + torch.arange(64)
        return part[at], part[at + 1].flatten()

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        inputs, targets = windows(text[:cut], 12)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs).flatten(0, 1), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        inputs, targets = windows(text[cut:], 200)
        return float(F.cross_entropy(model(inputs).flatten(0, 1), targets))


@pytest.mark.slow
def test_it_learns_no_slower_at_first_than_torchs_layers_as_they_come(data_home, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    written = gzip.decompress((data_home / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()
    letters = {letter: place for place, letter in enumerate(sorted(set(written)))}
    text = torch.tensor([letters[letter] for letter in written])
    with isolated(0):
        theirs = held_out_nats(AsTorchComes(65, 256), text, 185)
        ours = held_out_nats(RecurrentLanguageModel(65, 256), text, 185)
        tied = held_out_nats(RecurrentLanguageModel(65, 256, tied=True), text, 185)
        small = RecurrentLanguageModel(65, 256)
        nn.init.normal_(small.embedding.weight, std=0.1)
        slow = held_out_nats(small, text, 185)
    assert max(ours, tied) < theirs + 0.02 < slow - 0.15  # seeds differ by 0.01
