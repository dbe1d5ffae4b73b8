"""Spelling to sound with an encoder-decoder (GRU), teacher forcing in training, greedy decoding afterwards."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import pronunciations

PAD, BOS, EOS = 0, 1, 2


class Seq2Seq(nn.Module):
    def __init__(self, letters, phones, emb=24, hidden=72):
        super().__init__()
        self.src_emb = nn.Embedding(letters, emb, padding_idx=PAD)
        self.tgt_emb = nn.Embedding(phones, emb, padding_idx=PAD)
        self.encoder = nn.GRU(emb, hidden, batch_first=True)
        self.decoder = nn.GRU(emb, hidden, batch_first=True)
        self.generator = nn.Linear(hidden, phones)

    def encode(self, src):
        return self.encoder(self.src_emb(src))[1]

    def forward(self, src, tgt_in):
        out, _ = self.decoder(self.tgt_emb(tgt_in), self.encode(src))
        return self.generator(out)

    @torch.no_grad()
    def greedy(self, src, steps):
        state = self.encode(src)
        token = torch.full((len(src), 1), BOS)
        said = []
        for _ in range(steps):
            out, state = self.decoder(self.tgt_emb(token), state)
            token = self.generator(out).argmax(-1)
            said.append(token)
        return torch.cat(said, dim=1)


def objective(network, batch):
    src, tgt = batch
    scores = network(src, tgt[:, 1:])
    return F.cross_entropy(scores.transpose(1, 2), tgt[:, 1:], ignore_index=PAD)


def phoneme_accuracy(network, valid):
    network.eval()
    src, tgt = valid
    want = tgt[:, 1:]
    said = network.greedy(src, want.size(1))
    real = want != PAD
    return float((said == want)[real].float().mean())


def load(n):
    pairs = [(w, p) for w, p in pronunciations(n, seed=9) if len(w) <= 6]
    phones = {p: i for i, p in enumerate(["<pad>", "<bos>", "<eos>"] + sorted({q for _, ps in pairs for q in ps}))}
    width = max(len(ps) for _, ps in pairs) + 2
    src = torch.zeros(len(pairs), 6, dtype=torch.long)
    tgt = torch.zeros(len(pairs), width, dtype=torch.long)
    for i, (word, ps) in enumerate(pairs):
        src[i, 6 - len(word) :] = torch.tensor([ord(c) - 96 for c in word])
        tgt[i, : len(ps) + 2] = torch.tensor([BOS] + [phones[p] for p in ps] + [EOS])
    return src, tgt, len(phones)


def build(seed=0):
    torch.manual_seed(seed)
    src, tgt, n_phones = load(9000)
    cut = len(src) - 400
    net = Seq2Seq(27, n_phones)
    return {"network": net, "objective": objective, "evaluate": phoneme_accuracy,
            "train": (src[:cut], tgt[:cut]), "valid": (src[cut:], tgt[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 64, "epochs": 8}
