"""Letters to phonemes, encoder and decoder, after the well-known translation tutorial."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import pronunciations

PAD, SOS, EOS = 0, 1, 2
words = [(w, p) for w, p in pronunciations(5000) if len(w) <= 7 and len(p) <= 6]
phones = ["<pad>", "<sos>", "<eos>"] + sorted({a for _, p in words for a in p})
LONG = 7


def encode_pair(word, ps):
    src = [ord(c) - 96 for c in word] + [0] * (LONG - len(word))
    tgt = [SOS] + [phones.index(a) for a in ps] + [EOS]
    return src[::-1], tgt + [PAD] * (LONG + 1 - len(tgt))


class EncoderRNN(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(27, 32)
        self.gru = nn.GRU(32, hidden, batch_first=True)

    def forward(self, src):
        return self.gru(self.embedding(src))


class DecoderRNN(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(len(phones), 32, padding_idx=PAD)
        self.gru = nn.GRU(32, hidden, batch_first=True)
        self.out = nn.Linear(hidden, len(phones))

    def forward(self, tokens, hidden=None):
        output, hidden = self.gru(F.relu(self.embedding(tokens)), hidden)
        return self.out(output), hidden


class Seq2Seq(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.encoder, self.decoder = EncoderRNN(hidden), DecoderRNN(hidden)

    def forward(self, src, tgt):
        _, hidden = self.encoder(src)
        logits, _ = self.decoder(tgt, hidden)
        return logits


def objective(net, batch):
    src, tgt = batch
    logits = net(src, tgt[:, :-1])
    return F.cross_entropy(logits.reshape(-1, len(phones)), tgt[:, 1:].reshape(-1), ignore_index=PAD)


@torch.no_grad()
def phoneme_accuracy(net, valid):
    """Share of phonemes found, the true ones before them given."""
    net.eval()
    src, tgt = valid
    said, want = net(src, tgt[:, :-1]).argmax(-1), tgt[:, 1:]
    real = want > EOS
    return (said[real] == want[real]).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    src, tgt = (torch.tensor(t) for t in zip(*[encode_pair(w, p) for w, p in words]))
    cut = len(src) - 400
    net = Seq2Seq()
    return {"network": net, "objective": objective, "evaluate": phoneme_accuracy, "batch_size": 32, "epochs": 10,
            "train": (src[:cut], tgt[:cut]), "valid": (src[cut:], tgt[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3)}
