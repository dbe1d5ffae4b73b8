"""The same verse in English and Spanish: two towers, trained so that a verse finds its translation in the batch."""
import re
from collections import Counter

import torch
import torch.nn as nn
import torch.nn.functional as F
from data_birch import verses


def bag(texts, words=None, size=1200, width=36):
    lines = [re.findall(r"\w+", t.lower()) for t in texts]
    if words is None:
        common = Counter(w for line in lines for w in line).most_common(size)
        words = {w: i + 1 for i, (w, _) in enumerate(common)}
    x = torch.zeros(len(lines), width, dtype=torch.long)
    for i, line in enumerate(lines):
        ids = [words[w] for w in line if w in words][:width]
        x[i, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    return x, words


class TwoTowers(nn.Module):
    def __init__(self, n_english, n_spanish, dim=48):
        super().__init__()
        self.english = nn.EmbeddingBag(n_english + 1, dim, padding_idx=0)
        self.spanish = nn.EmbeddingBag(n_spanish + 1, dim, padding_idx=0)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, english):
        return F.normalize(self.english(english), dim=-1)

    def translate(self, spanish):
        return F.normalize(self.spanish(spanish), dim=-1)


def info_nce(network, batch):
    english, spanish = batch
    scores = network.log_scale.exp() * network(english) @ network.translate(spanish).T
    here = torch.arange(len(scores))
    return (F.cross_entropy(scores, here) + F.cross_entropy(scores.T, here)) / 2


def evaluate(network, valid):
    """Share of the verses whose translation is the nearest of all held-out ones."""
    network.eval()
    with torch.no_grad():
        scores = network(valid[0]) @ network.translate(valid[1]).T
    return float((scores.argmax(1) == torch.arange(len(scores))).float().mean())


def build(seed=0):
    torch.manual_seed(seed)
    books = ("Genesis", "Exodus", "Luke")
    english, spanish = verses(books, "web"), verses(books, "es_rv1909")
    keep = [i for i, (a, b) in enumerate(zip(english, spanish)) if min(len(a[0]), len(b[0])) > 30]
    order = [keep[i] for i in torch.randperm(len(keep), generator=torch.Generator().manual_seed(2))]
    fit, held = order[300:], order[:300]
    e, e_words = bag([english[i][0] for i in fit])
    s, s_words = bag([spanish[i][0] for i in fit])
    valid = bag([english[i][0] for i in held], e_words)[0], bag([spanish[i][0] for i in held], s_words)[0]
    net = TwoTowers(len(e_words), len(s_words))
    return dict(network=net, objective=info_nce, train=(e, s), valid=valid, evaluate=evaluate,
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=128, epochs=14)
