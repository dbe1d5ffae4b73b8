# Which Central European language is this line from? Bidirectional GRU over characters.
# Lines come from the Declaration of Human Rights; whole articles are kept back for validation.
import unicodedata

import torch
import torch.nn as nn
from data_cedar import declaration

LANGS = ("ces", "slk", "pol", "slv", "hrv", "hun")
WIDTH = 20


def clean(text):
    # same text, one spelling for every letter
    text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(c for c in text if c.isalpha() or c == " ")


def lines(frame):
    out = []
    for lang, section, text in zip(frame["iso6393"], frame["section"], frame["text"]):
        text = clean(text)
        for start in range(0, len(text) - WIDTH + 1, WIDTH // 2):
            out.append((text[start:start + WIDTH], LANGS.index(lang), int(section)))
    return out


class LanguageGRU(nn.Module):
    def __init__(self, n_chars, n_langs, emb=32, hid=48):
        super().__init__()
        self.emb = nn.Embedding(n_chars, emb)
        self.gru = nn.GRU(emb, hid, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(2 * hid, n_langs)

    def forward(self, idx):
        h, _ = self.gru(self.drop(self.emb(idx)))
        return self.out(self.drop(h.mean(dim=1)))


def build(seed=0):
    torch.manual_seed(seed)
    rows = lines(declaration(LANGS))
    train = [r for r in rows if r[2] % 4 != 0]
    valid = [r for r in rows if r[2] % 4 == 0]
    chars = sorted({c for text, _, _ in train for c in text})
    code = {c: i + 1 for i, c in enumerate(chars)}  # 0 for letters never seen

    def tensors(part):
        x = torch.tensor([[code.get(c, 0) for c in text] for text, _, _ in part])
        return x, torch.tensor([lang for _, lang, _ in part])

    model = LanguageGRU(len(chars) + 1, len(LANGS))
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": tensors(train),
        "valid": tensors(valid),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01),
        "batch_size": 64,
        "epochs": 14,
    }
