"""Spelling to sound (CMU dictionary): GRU encoder, GRU decoder with teacher forcing, spoken greedily for the score."""
import torch
import torch.nn as nn
from data import pronunciations

PAD, BOS, EOS = 0, 1, 2


class Seq2Seq(nn.Module):
    def __init__(self, n_sounds, d=64):
        super().__init__()
        self.letters = nn.Embedding(27, 24, padding_idx=0)
        self.encoder = nn.GRU(24, d, batch_first=True)
        self.sounds = nn.Embedding(n_sounds, 24, padding_idx=PAD)
        self.decoder = nn.GRU(24, d, batch_first=True)
        self.generator = nn.Linear(d, n_sounds)

    def forward(self, src, tgt_in):
        _, h = self.encoder(self.letters(src))
        out, _ = self.decoder(self.sounds(tgt_in), h)
        return self.generator(out)

    @torch.no_grad()
    def speak(self, src, steps):
        _, h = self.encoder(self.letters(src))
        token, said = torch.full((len(src), 1), BOS), []
        for _ in range(steps):
            out, h = self.decoder(self.sounds(token), h)
            token = self.generator(out).argmax(-1)
            said.append(token)
        return torch.cat(said, 1)


def objective(network, batch):
    src, tgt = batch
    tgt_in, tgt_out = tgt[:, 1:], tgt[:, 1:]
    scores = network(src, tgt_in)
    return nn.functional.cross_entropy(scores.flatten(0, 1), tgt_out.flatten(), ignore_index=PAD)


def evaluate(network, valid):
    """Share of sounds that are right at their place."""
    network.eval()
    src, tgt = valid
    truth = tgt[:, 1:]
    said = network.speak(src, truth.size(1))
    counted = truth > EOS
    return (said[counted] == truth[counted]).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    rows = [r for r in pronunciations(9000) if len(r[0]) <= 5]
    inventory = sorted({s for _, sounds in rows for s in sounds})
    code = {s: i + 3 for i, s in enumerate(inventory)}
    longest = max(len(sounds) for _, sounds in rows)
    src = torch.zeros(len(rows), 5, dtype=torch.long)
    tgt = torch.zeros(len(rows), longest + 2, dtype=torch.long)
    for i, (word, sounds) in enumerate(rows):
        src[i, 5 - len(word):] = torch.tensor([ord(c) - 96 for c in word])
        tgt[i, : len(sounds) + 2] = torch.tensor([BOS] + [code[s] for s in sounds] + [EOS])
    k = len(rows) - 300
    model = Seq2Seq(len(inventory) + 3)
    return {"network": model, "objective": objective, "evaluate": evaluate, "train": (src[:k], tgt[:k]),
            "valid": (src[k:], tgt[k:]), "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
            "batch_size": 32, "epochs": 12}
