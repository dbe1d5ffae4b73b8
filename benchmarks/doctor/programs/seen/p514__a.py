"""BiLSTM tagger, like the sequence models tutorial, but for sounds: each letter of a short word gets its phoneme."""
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from data import pronunciations

EMBEDDING_DIM = 20
HIDDEN_DIM = 40
PAD = 0


def prepare_data():
    pairs = [(w, p) for w, p in pronunciations(6000, seed=5) if len(w) == len(p)]
    tag_to_ix = {"<pad>": PAD}
    for _, tags in pairs:
        for t in tags:
            tag_to_ix.setdefault(t, len(tag_to_ix))
    longest = max(len(w) for w, _ in pairs)
    X = torch.full((len(pairs), longest), PAD)
    Y = torch.full((len(pairs), longest), PAD)
    for i, (w, tags) in enumerate(pairs):
        X[i, : len(w)] = torch.tensor([ord(c) - ord("a") + 1 for c in w])
        Y[i, : len(w)] = torch.tensor([tag_to_ix[t] for t in tags])
    return X, Y, len(tag_to_ix)


class LSTMTagger(nn.Module):
    def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
        super().__init__()
        self.letter_embeddings = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True, bidirectional=True)
        self.hidden2tag = nn.Linear(2 * hidden_dim, tagset_size)

    def forward(self, word):
        embeds = self.letter_embeddings(word)
        lstm_out, _ = self.lstm(embeds)
        return self.hidden2tag(lstm_out)


def tag_loss(scores, tags):
    return F.cross_entropy(scores.flatten(0, 1), tags.flatten(), ignore_index=PAD)


def train_step(model, batch, optimizer, loss_function):
    word, tags = batch
    optimizer.zero_grad()
    tag_scores = model(word)
    loss = loss_function(tag_scores, tags)
    loss.backward()
    optimizer.step()
    return loss.detach()


def build(seed=0):
    torch.manual_seed(seed)
    X, Y, tags = prepare_data()
    cut = len(X) * 5 // 6
    model = LSTMTagger(EMBEDDING_DIM, HIDDEN_DIM, 27, tags)
    return {"network": model, "loss": tag_loss, "train": (X[:cut], Y[:cut]), "valid": (X[cut:], Y[cut:]),
            "optimizer": optim.SGD(model.parameters(), lr=0.5, momentum=0.8), "step": train_step,
            "batch_size": 24, "epochs": 8}
