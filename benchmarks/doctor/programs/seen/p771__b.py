"""Does the peptide kill microbes? TextCNN (Kim 2014), taken over from a TF 1 code base with its hyperparameters."""
import torch
from torch import nn
from data import peptides

FLAGS = dict(embedding_dim=16, filter_sizes=(2, 3, 5), num_filters=24, dropout_keep_prob=0.9, l2_reg_lambda=0.0,
             batch_size=32, num_epochs=8, learning_rate=1e-3)
ACIDS = "ACDEFGHIKLMNPQRSTVWY"
LONGEST = 40


class TextCNN(nn.Module):
    def __init__(self, embedding_dim, filter_sizes, num_filters, dropout_keep_prob, **_):
        super().__init__()
        self.embedding = nn.Embedding(len(ACIDS) + 1, embedding_dim, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(embedding_dim, num_filters, k) for k in filter_sizes])
        self.dropout = nn.Dropout(dropout_keep_prob)
        self.hidden = nn.Linear(num_filters * len(filter_sizes), 32)
        self.scores = nn.Linear(32, 1)

    def forward(self, tokens):
        e = self.dropout(self.embedding(tokens)).transpose(1, 2)
        pooled = torch.cat([conv(e).relu().amax(-1) for conv in self.convs], 1)
        h = self.hidden(self.dropout(pooled)).relu()
        return self.scores(self.dropout(h)).squeeze(1)


def encode(sequence):
    ids = [ACIDS.find(a) + 1 for a in sequence[:LONGEST]]
    return ids + [0] * (LONGEST - len(ids))


def build(seed=0):
    torch.manual_seed(seed)
    rows = peptides(2000)
    x = torch.tensor([encode(s) for s, _ in rows])
    y = torch.tensor([float(label) for _, label in rows])
    model = TextCNN(**FLAGS)
    optimizer = torch.optim.Adam(model.parameters(), lr=FLAGS["learning_rate"], weight_decay=FLAGS["l2_reg_lambda"])
    return {"network": model, "loss": nn.BCEWithLogitsLoss(), "train": (x[:1500], y[:1500]), "valid": (x[1500:], y[1500:]),
            "optimizer": optimizer, "batch_size": FLAGS["batch_size"], "epochs": FLAGS["num_epochs"]}
