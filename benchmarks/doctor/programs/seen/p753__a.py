"""Char-RNN on Jane Austen. Notebook cells glued together, see README of the course for the exercise."""
import torch
import torch.nn as nn
from data_dahlia import austen

# --- cell 2: text to numbers
text = austen(66_000).lower().replace("\n", " ")
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
ids = torch.tensor([stoi[c] for c in text])

SEQ = 32


def get_chunks(ids):
    n = (len(ids) - 1) // SEQ
    x = ids[: n * SEQ].view(n, SEQ)
    y = ids[1 : n * SEQ + 1].view(n, SEQ)
    return x, y


# --- cell 3: the model
class CharRNN(nn.Module):
    def __init__(self, vocab, emb=24, hidden=96):
        super().__init__()
        self.emb = nn.Embedding(vocab, emb)
        self.lstm = nn.LSTM(emb, hidden, num_layers=1)
        self.fc = nn.Linear(hidden, vocab)

    def forward(self, x):          # (batch, seq)
        e = self.emb(x)            # (batch, seq, emb)
        out, _ = self.lstm(e)
        return self.fc(out)        # (batch, seq, vocab)


def criterion(logits, y):
    return nn.functional.cross_entropy(logits.reshape(-1, len(chars)), y.reshape(-1))


# --- cell 4
def build(seed=0):
    torch.manual_seed(seed)
    cut = 54_000
    model = CharRNN(len(chars))
    return {"network": model, "loss": criterion, "train": get_chunks(ids[:cut]), "valid": get_chunks(ids[cut:]),
            "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3), "batch_size": 32, "epochs": 5}
