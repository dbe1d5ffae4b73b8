"""Which language does a surname come from?  Character GRU, as in the well-known tutorial but in batches."""
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from data import names

LOCALES = ("it_IT", "fi_FI", "pl_PL", "nl_NL")


class Alphabet:
    def __init__(self, words):
        self.letters = {c: i + 1 for i, c in enumerate(sorted({c for w in words for c in w.lower()}))}

    def __len__(self):
        return len(self.letters) + 1

    def __call__(self, word):
        return torch.tensor([self.letters[c] for c in word.lower()])


class CharGRU(nn.Module):
    def __init__(self, letters, classes, size=48):
        super().__init__()
        self.size = size
        self.embed = nn.Embedding(letters, 16, padding_idx=0)
        self.cell = nn.GRUCell(16, size)
        self.decide = nn.Linear(size, classes)

    def init_hidden(self, batch):
        return torch.zeros(batch, self.size)

    def forward(self, words):
        hidden = self.init_hidden(len(words))
        for column in words.t():
            new = self.cell(self.embed(column), hidden)
            hidden = torch.where((column > 0)[:, None], new, hidden)  # words that have ended keep their state
        hidden = hidden.detach()
        return self.decide(hidden)


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(LOCALES, n=450, seed=2)
    alphabet = Alphabet([name for name, _ in rows])

    def collate(batch):
        return pad_sequence([alphabet(w) for w, _ in batch], batch_first=True), torch.tensor([k for _, k in batch])

    cut = int(0.8 * len(rows))
    net = CharGRU(len(alphabet), len(LOCALES))
    return dict(
        network=net,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(net.parameters(), lr=4e-3),
        train=DataLoader(rows[:cut], batch_size=32, shuffle=True, collate_fn=collate),
        valid=DataLoader(rows[cut:], batch_size=64, collate_fn=collate),
        batch_size=32,
        epochs=9,
    )
