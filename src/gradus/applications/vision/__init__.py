"""Images to classes, to masks and to sequences of symbols (§9.6, §11.6, §12.2)."""

from __future__ import annotations

from gradus.applications.vision.canvases import compose_sequences
from gradus.applications.vision.classifier import ImageClassifier
from gradus.applications.vision.reader import SequenceReader
from gradus.applications.vision.segmenter import ImageSegmenter

__all__ = ["ImageClassifier", "ImageSegmenter", "SequenceReader", "compose_sequences"]
