"""Two towers for verses: the English and the Spanish text of one verse should lie close. Score: recall@1 among 400."""

import re
from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data_south import verses


def tokenize(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


class Vocabulary:
    def __init__(self, texts: list[str], size: int = 1500) -> None:
        counts = Counter(w for t in texts for w in set(tokenize(t)))
        self.index = {w: i + 1 for i, (w, _) in enumerate(counts.most_common(size))}

    def __len__(self) -> int:
        return len(self.index) + 1

    def __call__(self, text: str) -> Tensor:
        """Bag of words, 0 or 1."""
        bag = torch.zeros(len(self))
        for w in tokenize(text):
            bag[self.index.get(w, 0)] = 1.0
        return bag


class Tower(nn.Module):
    def __init__(self, vocab: int, dim: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.project = nn.Linear(vocab, dim, bias=False)

    def forward(self, bags: Tensor) -> Tensor:
        return F.normalize(self.project(self.drop(bags)), dim=1)


class TwoTowers(nn.Module):
    def __init__(self, english: int, spanish: int, dim: int = 64) -> None:
        super().__init__()
        self.english, self.spanish = Tower(english, dim), Tower(spanish, dim)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def forward(self, en: Tensor, es: Tensor) -> Tensor:
        return self.log_scale.exp() * self.english(en) @ self.spanish(es).T


def info_nce(model: TwoTowers, batch: list[Tensor]) -> Tensor:
    logits = model(*batch)
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@dataclass
class RecallAtOne:
    size: int = 400

    def __call__(self, model: TwoTowers, loader: DataLoader) -> float:
        with torch.no_grad():
            en, es = (torch.cat(parts)[: self.size] for parts in zip(*loader))
            return (model(en, es).argmax(1) == torch.arange(len(en))).float().mean().item()


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    pairs = verses(3400)
    train, valid = pairs[:3000], pairs[3000:]
    en, es = Vocabulary([a for a, _ in train]), Vocabulary([b for _, b in train])
    encode = lambda rows: [(en(a), es(b)) for a, b in rows]
    model = TwoTowers(len(en), len(es))
    return {
        "network": model,
        "objective": info_nce,
        "evaluate": RecallAtOne(),
        "train": DataLoader(encode(train), batch_size=100, shuffle=True, drop_last=True),
        "valid": DataLoader(encode(valid), batch_size=100),
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 100,
        "epochs": 10,
    }
