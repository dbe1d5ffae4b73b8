"""Text classification with EmbeddingBag on letter pairs, after the torchtext tutorial (offsets and all)."""
import torch
from torch import nn
from torch.utils.data import DataLoader
from data_birch import paragraphs

LANGS = ("dan", "swe", "nld", "eng", "fra", "ita", "spa", "por", "cat", "fin")
BUCKETS = 3000


def bigrams(text):
    text = text.lower()
    return [(ord(a) * 331 + ord(b)) % BUCKETS for a, b in zip(text, text[1:])]


def collate_batch(batch):
    labels, docs, offsets = [], [], [0]
    for text, label in batch:
        ids = torch.tensor(bigrams(text))
        docs.append(ids)
        labels.append(label)
        offsets.append(len(ids))
    return (torch.cat(docs), torch.tensor(offsets[:-1]).cumsum(0)), torch.tensor(labels)


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, mode="mean")
        self.fc = nn.Linear(embed_dim, num_class)
        self.init_weights()

    def init_weights(self):
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text):
        ids, offsets = text
        return self.fc(self.embedding(ids, offsets))


def snippets(rows, size=45):
    return [(t[i : i + size], k) for t, k, _ in rows for i in range(0, len(t) - size, size)]


def build(seed=0):
    torch.manual_seed(seed)
    rows = []
    for number, lang in enumerate(LANGS):
        rows += [(t, number, section) for t, _, section in paragraphs((lang,))]
    train = snippets([r for r in rows if r[2] not in (3, 8, 13, 18, 23, 28)])
    valid = snippets([r for r in rows if r[2] in (3, 8, 13, 18, 23, 28)])
    model = TextClassificationModel(BUCKETS, 32, len(LANGS))
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(train, batch_size=16, shuffle=True, collate_fn=collate_batch),
        "valid": DataLoader(valid, batch_size=64, shuffle=False, collate_fn=collate_batch),
        "optimizer": torch.optim.SGD(model.parameters(), lr=5.0),
        "batch_size": 16,
        "epochs": 8,
    }
