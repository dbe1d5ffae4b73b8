"""
Two towers: one reads a word's letters, the other its phonemes; matching pairs shall lie close together.
The loss is that of CLIP: inside a batch, every other word's sound is a negative.
Score: how often the right sound is the nearest one, among all words held back.
"""
import math
import torch
from torch import nn
import torch.nn.functional as F
from data import pronunciations


class Tower(nn.Module):
    def __init__(self, symbols, d=32, h=64, out=48):
        super().__init__()
        self.emb = nn.Embedding(symbols, d, padding_idx=0)
        self.gru = nn.GRU(d, h, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(2 * h, out)

    def forward(self, ids):
        states, _ = self.gru(self.emb(ids))
        states = states.masked_fill((ids == 0).unsqueeze(2), -1.0)
        return F.normalize(self.out(self.drop(states.amax(1))), dim=1)


class TwoTowers(nn.Module):
    def __init__(self, letters, phones):
        super().__init__()
        self.spelling, self.sound = Tower(letters), Tower(phones)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, letters, phones):
        return self.log_scale.exp() * self.spelling(letters) @ self.sound(phones).T


def contrastive(network, batch):
    scores = network(*batch)
    own = torch.arange(len(scores))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def recall_at_1(network, valid):
    network.eval()
    with torch.no_grad():
        nearest = network(*valid).argmax(1)
    return float((nearest == torch.arange(len(nearest))).float().mean())


def numbers(sequences, length):
    symbols = sorted({s for seq in sequences for s in seq})
    code = {s: i + 1 for i, s in enumerate(symbols)}
    out = torch.zeros(len(sequences), length, dtype=torch.long)
    for i, seq in enumerate(sequences):
        out[i, : len(seq)] = torch.tensor([code[s] for s in seq])
    return out, len(symbols) + 1


def build(seed=0):
    torch.manual_seed(seed)
    seen = {}
    for word, phones in pronunciations(4000, seed=11):
        seen.setdefault(tuple(phones[:11]), word)        # one word a sound: homophones cannot be told apart
    letters, n_letters = numbers(list(seen.values()), 10)
    phones, n_phones = numbers(list(seen.keys()), 11)
    net = TwoTowers(n_letters, n_phones)
    return {"network": net, "objective": contrastive, "evaluate": recall_at_1, "batch_size": 100, "epochs": 8,
            "train": (letters[:3000], phones[:3000]), "valid": (letters[3000:], phones[3000:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3)}
