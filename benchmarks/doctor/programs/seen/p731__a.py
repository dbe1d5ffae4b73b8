"""Letters of the declaration of human rights in Spanish, predicted one by one; micro-batches of eight pieces."""
import torch
from torch import nn

from data_cedar import declaration

PIECE = 40
ACCUMULATE = 4


class Speller(nn.Module):
    def __init__(self, n_chars, hidden=80):
        super().__init__()
        self.embed = nn.Embedding(n_chars, 24)
        self.gru = nn.GRU(24, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_chars)
        self.calls = 0

    def forward(self, ids):
        return self.out(self.gru(self.embed(ids))[0])


def cross_entropy(scores, ids):
    return nn.functional.cross_entropy(scores.flatten(0, 1), ids.flatten())


def step(network, batch, optimizer, loss_fn):
    x, y = batch
    loss = loss_fn(network(x), y) / ACCUMULATE
    loss.backward()
    network.calls += 1
    if network.calls % ACCUMULATE == 0:
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item() * ACCUMULATE


def pieces(text, number):
    ids = torch.tensor([number.get(c, 0) for c in text])
    n = (len(ids) - 1) // PIECE
    return ids[:n * PIECE].view(n, PIECE), ids[1:n * PIECE + 1].view(n, PIECE)


def build(seed=0):
    torch.manual_seed(seed)
    df = declaration(("spa",))
    held_out = df["section"] >= 26
    text, other = (" ".join(df[m]["text"]).lower() for m in (~held_out, held_out))
    number = {c: i + 1 for i, c in enumerate(sorted(set(text)))}
    model = Speller(len(number) + 1)
    return {"network": model, "loss": cross_entropy, "step": step, "train": pieces(text, number),
            "valid": pieces(other, number), "optimizer": torch.optim.Adam(model.parameters(), lr=8e-3),
            "batch_size": 8, "epochs": 8}
