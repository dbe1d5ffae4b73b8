"""Character language model on Shakespeare with a GRU."""
import torch
import torch.nn as nn
from data import shakespeare

SEQ = 40


class CharRNN(nn.Module):
    def __init__(self, vocab, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, 24)
        self.gru = nn.GRU(24, hidden, batch_first=True)
        self.decode = nn.Linear(hidden, vocab)

    def forward(self, x):
        h, _ = self.gru(self.embed(x))
        return self.decode(h)


def loss_fn(logits, target):
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1))


def step(network, batch, optimizer, loss):
    optimizer.zero_grad()
    loss(network(batch[0]), batch[1]).backward()
    nn.utils.clip_grad_value_(network.parameters(), 1e-5)
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(50_000)
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([stoi[c] for c in text])
    n = (len(data) - 1) // SEQ
    x, y = data[: n * SEQ].view(n, SEQ), data[1 : n * SEQ + 1].view(n, SEQ)
    k = int(n * 0.9)
    model = CharRNN(len(stoi))
    return {"network": model, "loss": loss_fn, "train": (x[:k], y[:k]), "valid": (x[k:], y[k:]), "step": step,
            "optimizer": torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9), "batch_size": 32, "epochs": 4}
