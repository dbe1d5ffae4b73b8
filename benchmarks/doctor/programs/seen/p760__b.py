"""trainer.py, shortened. Kinds of emoji; logs go to our tracker."""
from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from data import emoji

log = logging.getLogger(__name__)


class EmojiNet(nn.Module):
    def __init__(self, n_classes: int, width: int = 12, p: float = 0.6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.stage = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.drop = nn.Dropout(p)
        self.neck = nn.Linear(2 * width * 64, 64)
        self.head = nn.Linear(64, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        h = self.stage(self.stem(images).relu()).relu().flatten(1)
        h = self.neck(self.drop(h)).relu()
        return self.head(self.drop(h))


class Trainer:
    def __init__(self, model: nn.Module, lr: float) -> None:
        self.model = model
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def _forward(self, batch: Any, update: bool) -> tuple[Tensor, Tensor]:
        self.model.train()
        images, labels = batch
        with torch.set_grad_enabled(update):
            logits = self.model(images)
            loss = self.criterion(logits, labels)
        if update:
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return loss.detach(), (logits.argmax(-1) == labels).float().mean()

    def training_step(self, model: nn.Module, batch: Any, optimizer: Any, criterion: Any) -> None:
        self._forward(batch, update=True)

    def validate(self, model: nn.Module, valid: Any) -> float:
        loss, accuracy = self._forward(valid, update=False)
        log.info("valid loss %.3f, accuracy %.3f", loss, accuracy)
        return float(accuracy)


def prepare(kinds: tuple[int, ...], limit: int) -> list[Tensor]:
    pixels, category, name = emoji()
    images = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    held_out = torch.tensor([hash_of(n) % 5 == 0 for n in name])
    labels = torch.tensor(category)
    found = []
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(11))
    for part, most in ((~held_out, limit), (held_out, limit // 4)):
        rows = torch.cat([order[((labels == k) & part)[order]][:most] for k in kinds])
        found += [images[rows], torch.searchsorted(torch.tensor(kinds), labels[rows])]
    return found


def hash_of(text: str) -> int:
    value = 0
    for character in text:
        value = (31 * value + ord(character)) % 1_000_003
    return value


def build(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    x, y, xv, yv = prepare((1, 2, 3, 5), limit=350)
    trainer = Trainer(EmojiNet(4), lr=2e-3)
    return {"network": trainer.model, "loss": trainer.criterion, "step": trainer.training_step, "train": (x, y),
            "valid": (xv, yv), "optimizer": trainer.optimizer, "evaluate": trainer.validate, "batch_size": 32, "epochs": 14}
