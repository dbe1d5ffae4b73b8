"""A causal transformer on Shakespeare: linear warm-up, cosine decay, clipping."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

CONTEXT, EPOCHS, BATCH = 32, 4, 32


class LM(nn.Module):
    def __init__(self, vocab, d=48):
        super().__init__()
        self.tok = nn.Embedding(vocab, d)
        self.pos = nn.Parameter(torch.randn(CONTEXT, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 4 * d, dropout=0.05, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
        self.head = nn.Linear(d, vocab)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.layers(self.tok(x) + self.pos[: x.shape[1]], mask=mask, is_causal=True))


def loss_fn(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(50_000, skip=500_000)
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    n = (len(ids) - 1) // CONTEXT
    x, y = ids[: n * CONTEXT].view(n, CONTEXT), ids[1 : n * CONTEXT + 1].view(n, CONTEXT)
    cut = int(0.9 * n)
    net = LM(len(chars))
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.01)
    total = EPOCHS * math.ceil(cut / BATCH)
    warm = total // 10
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: (i + 1) / warm if i < warm else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1, (i - warm) / (total - warm)))))

    def step(network, batch, optimizer, loss):
        optimizer.zero_grad()
        loss(network(batch[0]), batch[1]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()

    return dict(network=net, loss=loss_fn, train=(x[:cut], y[:cut]), valid=(x[cut:], y[cut:]), optimizer=optimizer,
                batch_size=BATCH, epochs=EPOCHS, step=step)
