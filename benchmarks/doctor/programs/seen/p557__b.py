"""
Where does a surname come from?  Ported from my Keras script:

    model = Sequential([Embedding(V, 24, mask_zero=True), LSTM(48), Dense(16, activation='softmax')])
    model.compile('adam', 'categorical_crossentropy', metrics=['accuracy'])
"""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence

from data import names

LOCALES = ('de_AT', 'de_CH', 'en_IE', 'en_IN', 'en_PK', 'es_ES', 'fr_CA', 'fr_DZ',
           'fr_FR', 'ga_IE', 'hr_HR', 'it_IT', 'ka_GE', 'ne_NP', 'nl_NL', 'sl_SI')
MAXLEN = 14


class Origin(nn.Module):

    def __init__(self, vocab, n_classes, emb=24, units=48):
        super().__init__()
        self.embedding = nn.Embedding(vocab, emb, padding_idx=0)
        self.lstm = nn.LSTM(emb, units, batch_first=True)
        self.dense = nn.Linear(units, n_classes)

    def forward(self, x):
        lengths = (x != 0).sum(1).cpu()
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.dense(h[-1])


def texts_to_sequences(rows, index):
    x = torch.zeros(len(rows), MAXLEN, dtype=torch.long)
    for i, (name, _) in enumerate(rows):
        ids = [index.get(c, 1) for c in name.lower()[:MAXLEN]]
        x[i, :len(ids)] = torch.tensor(ids)
    return x, torch.tensor([label for _, label in rows])


def build(seed=0):
    torch.manual_seed(seed)
    rows = names(LOCALES, n=250)
    train, test = rows[:int(.8 * len(rows))], rows[int(.8 * len(rows)):]
    index = {c: i + 2 for i, c in enumerate(sorted({c for n, _ in train for c in n.lower()}))}
    model = Origin(len(index) + 2, len(LOCALES))
    return {'network': model,
            'loss': nn.CrossEntropyLoss(),
            'optimizer': torch.optim.Adam(model.parameters()),
            'train': texts_to_sequences(train, index),
            'valid': texts_to_sequences(test, index),
            'batch_size': 32,
            'epochs': 8}
