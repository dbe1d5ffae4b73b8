"""Character-level language model on Shakespeare, GRU."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

block_size = 32
text = shakespeare(40_000)
chars = sorted(set(text))
stoi = {ch: i for i, ch in enumerate(chars)}


class CharGRU(nn.Module):
    def __init__(self, vocab, n_embd=32, n_hidden=96):
        super().__init__()
        self.wte = nn.Embedding(vocab, n_embd)
        self.rnn = nn.GRU(n_embd, n_hidden, batch_first=True)
        self.lm_head = nn.Linear(n_hidden, vocab)

    def forward(self, idx):
        h, _ = self.rnn(self.wte(idx))
        logits = self.lm_head(h)  # (B, T, vocab)
        return F.log_softmax(logits, dim=1)


def nll(logp, targets):
    return F.nll_loss(logp.reshape(-1, logp.size(-1)), targets.reshape(-1))


def get_split(ids):
    n = (len(ids) - 1) // block_size
    return ids[: n * block_size].view(n, block_size), ids[1 : n * block_size + 1].view(n, block_size)


def build(seed=0):
    torch.manual_seed(seed)
    data = torch.tensor([stoi[c] for c in text])
    cut = int(0.9 * len(data))
    model = CharGRU(len(chars))
    return dict(network=model, loss=nll, train=get_split(data[:cut]), valid=get_split(data[cut:]),
                optimizer=torch.optim.AdamW(model.parameters(), lr=5e-3), batch_size=32, epochs=5)
