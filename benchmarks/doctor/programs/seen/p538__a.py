"""Grapheme to phoneme with nn.Transformer."""
import torch
import torch.nn as nn

from data import pronunciations

PAD, BOS, EOS = 0, 1, 2
SRC_LEN = 7


class G2P(nn.Module):
    def __init__(self, n_src, n_tgt, tgt_len, d=48):
        super().__init__()
        self.src = nn.Embedding(n_src, d, padding_idx=PAD)
        self.tgt = nn.Embedding(n_tgt, d, padding_idx=PAD)
        self.pos = nn.Parameter(torch.randn(max(SRC_LEN, tgt_len), d) * 0.1)
        self.transformer = nn.Transformer(d, 4, 1, 1, 2 * d, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(d, n_tgt)

    def forward(self, src, tgt):
        gap = src == PAD
        causal = nn.Transformer.generate_square_subsequent_mask(tgt.size(1)).isinf()
        h = self.transformer(
            self.src(src) + self.pos[: src.size(1)],
            self.tgt(tgt) + self.pos[: tgt.size(1)],
            tgt_mask=causal,
            src_key_padding_mask=gap,
            memory_key_padding_mask=gap,
            tgt_key_padding_mask=tgt == PAD,
        )
        return self.out(h)


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.ce = nn.CrossEntropyLoss(ignore_index=PAD)

    def forward(self, network, batch):
        src, tgt = batch
        logits = network(src, tgt[:, :-1])
        return self.ce(logits.flatten(0, 1), tgt[:, 1:].flatten())


@torch.no_grad()
def evaluate(network, valid):
    """Share of phonemes right when the network continues its own answer."""
    network.eval()
    src, tgt = valid
    said = torch.full((len(src), 1), BOS)
    for _ in range(tgt.size(1) - 1):
        nxt = network(src, said)[:, -1, 1:].argmax(-1, keepdim=True) + 1
        said = torch.cat([said, nxt], 1)
    real = tgt[:, 1:] != PAD
    return float((said[:, 1:] == tgt[:, 1:])[real].float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    pairs = [(w, p) for w, p in pronunciations(9000, seed=21) if len(w) <= SRC_LEN - 1][:3600]
    phones = sorted({q for _, p in pairs for q in p})
    longest = max(len(p) for _, p in pairs) + 2
    src = torch.zeros(len(pairs), SRC_LEN, dtype=torch.long)
    tgt = torch.zeros(len(pairs), longest, dtype=torch.long)
    for row, (word, sounds) in enumerate(pairs):
        src[row, : len(word)] = torch.tensor([ord(c) - 94 for c in word])
        ids = [BOS, *(phones.index(q) + 3 for q in sounds), EOS]
        tgt[row, : len(ids)] = torch.tensor(ids)
    net = G2P(29, len(phones) + 3, longest)
    return {"network": net, "objective": Criterion(), "train": (src[:3200], tgt[:3200]), "valid": (src[3200:], tgt[3200:]),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=4e-3), "evaluate": evaluate, "batch_size": 48, "epochs": 6}
