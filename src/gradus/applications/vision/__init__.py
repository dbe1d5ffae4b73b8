"""Images to classes (§12.2)."""

from __future__ import annotations

from gradus.applications.vision.classifier import ImageClassifier

__all__ = ["ImageClassifier"]
