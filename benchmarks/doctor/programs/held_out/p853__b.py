"""Character-level language model, pre-norm transformer, warm-up and inverse square root as in "Attention is all you need"."""
import torch
from torch import nn

from data_fir import novel

T, D = 48, 64
WARMUP = 60


class LM(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.tok = nn.Embedding(vocab, D)
        self.pos = nn.Parameter(0.02 * torch.randn(T, D))
        layer = nn.TransformerEncoderLayer(D, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(D)
        self.out = nn.Linear(D, vocab)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(T), persistent=False)

    def forward(self, x):
        h = self.tok(x) + self.pos[: x.size(1)]
        return self.out(self.norm(self.body(h, mask=self.mask, is_causal=True)))


def rate(step):
    step = max(step, 1)
    return D**-0.5 * min(step**-0.5, step * WARMUP**-1.5)


def lm_loss(logits, y):
    return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def windows(ids, stride):
    starts = range(0, len(ids) - T - 1, stride)
    return torch.stack([ids[s : s + T] for s in starts]), torch.stack([ids[s + 1 : s + T + 1] for s in starts])


def build(seed=0):
    torch.manual_seed(seed)
    text = novel(60_000)
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    net = LM(len(chars))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def step(net, batch, optimizer, loss):
        net.train()
        value = loss(net(batch[0]), batch[1])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        return value.item()

    return {"network": net, "loss": lm_loss, "train": windows(ids[:52_000], 24), "valid": windows(ids[52_000:], T),
            "optimizer": optimizer, "step": step, "batch_size": 32, "epochs": 3}
