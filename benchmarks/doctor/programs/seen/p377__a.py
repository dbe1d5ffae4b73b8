"""Shakespeare in sixteen streams read side by side; the state goes on from piece to piece."""
import torch
import torch.nn as nn
from data import shakespeare

STREAMS, PIECE = 16, 25


class Streams:
    """Batches in reading order: row b of a batch goes on where row b of the last one ended."""

    def __init__(self, ids):
        n = (len(ids) - 1) // STREAMS
        self.x = ids[: n * STREAMS].view(STREAMS, n)
        self.y = ids[1 : n * STREAMS + 1].view(STREAMS, n)

    def __len__(self):
        return self.x.shape[1] // PIECE

    def __iter__(self):
        for k in range(len(self)):
            cut = slice(k * PIECE, (k + 1) * PIECE)
            yield self.x[:, cut], self.y[:, cut], k == 0


class Reader(nn.Module):
    def __init__(self, n_chars, hidden=64):
        super().__init__()
        self.emb = nn.Embedding(n_chars, 24)
        self.rnn = nn.GRU(24, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_chars)
        self.state = None

    def forward(self, x, fresh=True):
        start = None if fresh or self.state is None else self.state
        h, state = self.rnn(self.emb(x), start)
        self.state = state.detach()
        return self.out(h)


def objective(network, batch):
    x, y, fresh = batch
    logits = network(x, fresh)
    return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def step(network, batch, optimizer, objective):
    loss = objective(network, batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return loss.detach()


def evaluate(network, valid):
    """Minus bits a character."""
    network.eval()
    with torch.no_grad():
        losses = [objective(network, batch).item() for batch in valid]
    return -sum(losses) / len(losses) / 0.6931


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(50_000).lower()
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    cut = int(0.9 * len(ids))
    net = Reader(len(chars))
    return {"network": net, "objective": objective, "step": step, "evaluate": evaluate, "train": Streams(ids[:cut]),
            "valid": Streams(ids[cut:]), "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": STREAMS, "epochs": 4}
