"""A plain text as a task: models that count, one that learns, and what there is to see of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gradus.applications.base import Candidate
from gradus.applications.language.model import LanguageModel
from gradus.applications.language.neural import NeuralLanguageModel
from gradus.applications.language.ngrams import NGramLanguageModel
from gradus.core.options import parse_setting
from gradus.estimators.exhibit import Exhibit, Picture
from gradus.networks.attention import watch_attention

__all__ = ["attention_maps", "corpus_network", "corpus_rungs", "language_exhibits"]

SMALL = 200_000  # characters: a network this size learns so much by heart
READ = 48  # characters of a passage that attention is shown for
SAMPLED = 400
NAMES = {"transformer": "transformer", "lstm": "LSTM", "gru": "GRU", "rnn": "recurrent network"}


def corpus_rungs() -> list[Candidate]:
    """Return the models below the network: how often characters come, and what follows which."""
    unigram = NGramLanguageModel(order=1)
    counts = NGramLanguageModel(order=6)
    return [
        Candidate("frequencies of characters", unigram, "looks at nothing that came before"),
        Candidate("6-grams", counts, "counts what followed the last five characters; smoothed after Kneser and Ney"),
    ]


def corpus_network(characters: int, settings: Mapping[str, str], **fixed: Any) -> Candidate:
    """Return the network for a text.

    Parameters
    ----------
    characters : int
        Length of the training text.
    settings : mapping of str to str
        Texts of ``--set name=value``.
    **fixed
        Settings that the job decides, such as ``random_state``.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range; the nearest name is suggested.
    """
    given = {key: parse_setting(LanguageModel, key, text) for key, text in settings.items()}
    defaults: dict[str, Any] = {
        "context": 64,
        "batch_size": 16,
        "max_steps": 2000,
        "learning_rate": 2e-3,
        "patience": 3,
    }
    defaults |= {"schedule": "cosine", "warmup_steps": 100, "max_epochs": 50}
    if characters < SMALL:
        defaults |= {"dropout": 0.2}
    if characters < 20_000:  # windows are few: a smaller network, shorter windows
        defaults |= {"context": 32, "width": 64, "layers": 2, "max_steps": 1000}
    estimator = LanguageModel(**{**defaults, **fixed, **given})
    estimator.check_settings()
    return Candidate(NAMES[estimator.network], estimator, "learns what to look back at, and how far")


def language_exhibits(
    fitted: Mapping[str, Any], chosen: str, texts: Sequence[str], answers: Any, *, seed: int = 0
) -> Iterator[Exhibit]:
    """Yield samples of every model, the passages that surprised the chosen one most, and where attention goes.

    Parameters
    ----------
    fitted : mapping of str to estimator
        The models of the ladder.
    chosen : str
        The best of them.
    texts : sequence of str
        The test part.
    answers : object
        With ``logs``: the chosen model's log-probability of each token of each text, in nats.
    seed : int
        Of the samples.
    """
    prompt = _prompt(texts[0])
    samples = []
    for name, model in fitted.items():
        for temperature in (0.7, 1.0):
            said = model.sample(prompt=prompt, length=SAMPLED, temperature=temperature, random_state=seed)[0]
            samples.append((f"{name}, temperature {temperature:g}", said))
    yield Exhibit(
        "Samples",
        f"How the models go on from {prompt!r}, which stands in the test part. At temperature 1 they draw as they "
        "believe; below, the likely becomes likelier.",
        "answers",
        passages=tuple(samples),
    )
    yield _surprises(fitted[chosen], texts, answers.logs)
    for model in fitted.values():
        if isinstance(model, NeuralLanguageModel) and model.network == "transformer":
            yield attention_maps(model, texts[0])


def _prompt(text: str) -> str:
    """Return the first line that has some words in it, or its beginning."""
    line = next((line for line in text.splitlines() if len(line.split()) > 2), text.strip() or text)
    return line[:40]


def _surprises(model: Any, texts: Sequence[str], logs: Sequence[np.ndarray], most: int = 6) -> Exhibit:
    found = []
    for text, log in zip(texts, logs, strict=True):
        width = min(len(log), 60)
        if not width or not len(text):
            continue
        mean = -np.convolve(log, np.ones(width) / width, mode="valid") / math.log(2)
        per = len(text) / len(log)
        for _ in range(most):
            at = int(mean.argmax())
            if not np.isfinite(mean[at]) or mean[at] < 0:
                break
            found.append((float(mean[at]), text[int(at * per) : int((at + width) * per)]))
            mean[max(0, at - width) : at + width] = -np.inf
    found = sorted(found, reverse=True)[:most]
    passages = tuple((f"{bits:.2f} bits a token", piece.strip("\n")) for bits, piece in found)
    return Exhibit(
        "What surprised it most",
        "Passages of the test part that cost the most bits: other languages, names, tables, misprints, or what the "
        "model has not understood.",
        "errors",
        passages=passages,
    )


@torch.inference_mode()
def attention_maps(model: NeuralLanguageModel, text: str) -> Exhibit:
    """Draw where each head looks while a transformer reads the beginning of a text.

    Parameters
    ----------
    model : LanguageModel or MixedLanguageModel
        Fitted, with ``network="transformer"``.
    text : str
        The text.

    Returns
    -------
    Exhibit
        One picture a head: row by row the tokens read, column by column those looked back at.
    """
    network: Any = model.network_.eval()
    read = model._tokens([text])[: min(READ, model.context)]
    device = next(network.parameters()).device
    with watch_attention(network) as maps:
        network(read.to(device).unsqueeze(0))
    pictures = []
    for layer, weights in enumerate(maps.values(), start=1):
        for head, map_ in enumerate(weights[0].float().cpu().numpy(), start=1):
            # A row's weights are a distribution over ever more tokens: each row is shown beside its own largest.
            shown = map_ / map_.max(1, keepdims=True)
            pictures.append(Picture.of(shown, f"layer {layer}, head {head}", scale=1.0))
    shown_text = model.tokenizer_.decode(read[1:].numpy())
    return Exhibit(
        "Where attention goes",
        f"While it reads {shown_text!r}: each row is a token, bright where it looks back at. A diagonal looks at the "
        "token itself or the one before, columns at one token from everywhere.",
        "learning",
        pictures=tuple(pictures),
    )
