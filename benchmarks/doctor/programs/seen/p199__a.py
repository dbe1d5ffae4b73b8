"""Shakespeare with an LSTM, by characters."""
import torch
import torch.nn as nn
from data import shakespeare


class CharLSTM(nn.Module):
    def __init__(self, vocab, d=48):
        super().__init__()
        self.embedding = nn.Embedding(vocab, 24)
        self.lstm = nn.LSTM(24, d, batch_first=True)
        self.fc = nn.Linear(d, vocab)

    def forward(self, x):
        out, _ = self.lstm(self.embedding(x))
        return self.fc(out).permute(0, 2, 1)


def sequences(text, length=32):
    vocab = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([vocab[c] for c in text])
    pieces = ids.unfold(0, length + 1, length)
    return pieces[:, :-1], pieces[:, 1:], len(vocab)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, vocab = sequences(shakespeare(50_000, skip=700_000))
    n = int(0.9 * len(x))
    model = CharLSTM(vocab)
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(x[:n], y[:n]), valid=(x[n:], y[n:]),
                optimizer=torch.optim.Adam(model.parameters(), lr=5e-3), batch_size=32, epochs=4)
