"""What every language model with a network in it is: windows of text, training, scores, samples."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.applications.language.texts import joined, texts_of
from gradus.applications.language.tokenizers import Tokenizer, TokenizerName, fit_tokenizer
from gradus.core.devices import choose_device
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.randomness import resolve_seed
from gradus.core.threads import threads
from gradus.data.batches import Batch
from gradus.data.windows import WindowBatches, windows
from gradus.estimators.callbacks import CallbackSupportMixin, ScikitCallbacks
from gradus.estimators.gradient import GradientEstimator
from gradus.networks.decoding_rules import sample_next
from gradus.networks.recurrent.language import RecurrentLanguageModel
from gradus.networks.stepping import Stepper
from gradus.networks.transformer import Transformer
from gradus.training.distribution import agreed
from gradus.training.losses import Loss, LossFunction
from gradus.training.options import OptimizerName

__all__ = ["NeuralLanguageModel", "next_token_loss", "without_end"]

# Windows that go through the network at once outside training.
SCORED_TOKENS = 8192
# Tokens drawn on an accelerator between two looks at whether all texts have ended.
ASKED_EVERY = 32


def next_token_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    """Return the cross-entropy of each token given those before it, in nats, summed over tokens.

    Examples
    --------
    >>> network = nn.Embedding(4, 4)  # a bigram model
    >>> _ = nn.init.zeros_(network.weight)
    >>> batch = windows(torch.tensor([0, 1, 2, 3]), torch.tensor([0]), 3)
    >>> loss = next_token_loss(network, batch, torch.Generator())
    >>> round(loss.total.item() / loss.count, 4)  # log 4
    1.3863

    References
    ----------
    Goodfellow et al. 2016, §10.2.2, eq. 10.12-10.14; §12.4.
    """
    targets = batch["targets"].reshape(-1)
    logits = network(batch["inputs"]).reshape(len(targets), -1)
    return Loss(F.cross_entropy(logits.float(), targets, reduction="sum"), float(len(targets)), {})


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralLanguageModel(CallbackSupportMixin, GradientEstimator):
    """Base of language models that learn a text by a network, whether or not it answers alone.

    A subclass fits, by `_fit_network` and whatever else it learns; says what it makes of the network's logits
    (`_next_logits`), and what each token of a text costs it (`_log_probabilities`).
    """

    network: Literal["transformer", "lstm", "gru", "rnn"] = option("transformer", "kind of network that reads the text")
    tokens: TokenizerName = option("characters", "what the text is cut into")
    vocabulary: int = option(1000, "tokens to learn, at most, with byte_pair or words", unit="tokens", low=2)
    context: int = option(128, "tokens the network sees at once", unit="tokens", low=1)
    width: int = option(128, "width of embeddings and hidden layers", unit="units", low=1)
    layers: int = option(4, "transformer blocks or recurrent layers", low=1)
    heads: int = option(4, "attention heads of each block", low=1)
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = option(
        "rotary", "how a transformer is told the order of tokens"
    )
    activation: Literal["gelu", "relu", "swiglu"] = option("gelu", "hidden units of a transformer's blocks")
    normalization: Literal["layer", "rms"] = option("layer", "normalization in a transformer, or its scale alone")
    dropout: float = option(0.0, "share of units dropped in training", low=0, high=0.95)
    batch_size: int = option(32, "windows a parameter update", unit="windows", low=1)
    max_epochs: int = option(20, "most passes over the text", unit="epochs", low=0)
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    weight_decay: float = option(0.01, "weight decay of weight matrices", low=0)
    gradient_clip: float | None = option(1.0, "largest norm of the whole gradient", above=0)

    # -- fitting -------------------------------------------------------------------------------------------------

    def _fit_network(
        self,
        X: Any,
        texts: Sequence[str],
        held_texts: Sequence[str] | None,
        learn_more: Callable[[], None] | None = None,
    ) -> Self:
        """Train the network; ``learn_more`` learns the rest, before callbacks hear that the fit of ``X`` ended."""
        warm = self.warm_start and hasattr(self, "network_")
        self.__dict__.pop("_memory", None)
        with self._learning(fresh=not warm):
            self.seed_ = agreed(resolve_seed(self.random_state))
            train, valid = self._streams(texts, held_texts, reset=not warm)
            network = self.network_ if warm else self._make_network()
        told = ScikitCallbacks(self, X, None)
        # Small enough to lie on the device whole, where a batch is one gather.
        train = train.to(choose_device(self.device))
        batches = WindowBatches(train, length=self.context, batch_size=self.batch_size, seed=self.seed_)
        held_out = None if valid is None else _covering(valid, self.context)
        self._run(self._trainer(network, batches, held_out, [told] if told.active else [], phase="main"))
        if learn_more is not None:
            learn_more()
        told.finish()
        return self

    def _check_fit(self) -> None:
        """Check the settings of a fit."""
        self._check_together()
        if self.retrain != "none":
            raise SettingError("retrain='none' for a text", repr(self.retrain), "set retrain='none'")

    def _streams(
        self, texts: Sequence[str], held_texts: Sequence[str] | None, *, reset: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the tokens to train on and those held out."""
        if reset:
            self.tokenizer_state_ = fit_tokenizer(self.tokens, texts, size=self.vocabulary, unknown=True).to_dict()
            self.n_texts_ = len(texts)
        train = self._tokens(texts)
        if len(train) <= self.context:
            mend = f"pass a longer text, or set context={max(1, len(train) - 2)}"
            raise InputError(f"more than context={self.context} tokens of text", str(len(train)), mend)
        return train, None if held_texts is None else self._tokens(held_texts)

    @property
    def tokenizer_(self) -> Tokenizer:
        """What cuts the text into tokens."""
        return Tokenizer.from_dict(self.tokenizer_state_)

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        """Return the token of the beginning, then the first text, and so on."""
        tokenizer = self.tokenizer_
        return torch.from_numpy(joined([tokenizer.encode(text) for text in texts], boundary=tokenizer.size))

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        return _covering(self._tokens(texts_of(X)), self.context)

    def _build(self) -> nn.Module:
        size = self.tokenizer_.size + 1  # and the token between texts
        if self.network == "transformer":
            # GPT-2's 0.02 is for wide networks: of 128 units, after 600 steps on Shakespeare, 1.95 nats to 1.82.
            return Transformer(
                size,
                self.context,
                self.width,
                self.layers,
                self.heads,
                positions=self.positions,
                std=self.width**-0.5,
                activation=self.activation,
                normalization=self.normalization,
                dropout=self.dropout,
            )
        return RecurrentLanguageModel(size, self.width, layers=self.layers, cell=self.network, dropout=self.dropout)

    def _loss(self, network: nn.Module) -> LossFunction:
        return next_token_loss

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums of nats, of tokens that were the likeliest, and the number of tokens that count."""
        nats, correct = self._scored(network, batch)
        counts = batch["counts"].to(nats.device)
        return (nats * counts).sum(), (correct * counts).sum(), counts.sum()

    def _scored(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the nats of every target, and whether it was the likeliest, both of shape (windows, context)."""
        nats, correct = [], []
        rows = max(1, SCORED_TOKENS // self.context)
        for inputs, targets in zip(batch["inputs"].split(rows), batch["targets"].split(rows), strict=True):
            logits = network(inputs).float()
            nats.append(F.cross_entropy(logits.mT, targets, reduction="none"))
            correct.append((logits.argmax(-1) == targets).float())
        return torch.cat(nats), torch.cat(correct)

    # -- answering -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _log_probabilities(self, text: str) -> np.ndarray:
        """Return the log-probability of each token of a text, in nats."""

    @abstractmethod
    def _next_logits(self, logits: Tensor, read: Tensor) -> Tensor:
        """Return the model's logits of the next token, given the network's and all tokens read so far, of each row."""

    @torch.inference_mode()
    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log-likelihood of each text in nats, float64.

        The text's first token follows the token that stands between texts. Where a text is longer than the context,
        windows overlap by half, so that each token is predicted from at least half a context.

        Parameters
        ----------
        X : str or sequence of str
            One text or several.
        """
        return np.array([logs.sum() for logs in self.token_log_probabilities(X)])

    @torch.inference_mode()
    def token_log_probabilities(self, X: Any) -> list[np.ndarray]:
        """Return the log-probability of every token given those before it in its text, in nats, float64.

        Parameters
        ----------
        X : str or sequence of str
            One text or several, as in `score_samples`.

        Returns
        -------
        list of arrays of shape (tokens,)
            One for each text.
        """
        check_is_fitted(self)
        return [self._log_probabilities(text) for text in texts_of(X)]

    @torch.inference_mode()
    def _network_nats(self, text: str) -> np.ndarray:
        """Return what each token of a text costs the network."""
        network = self.network_.eval()
        device = next(network.parameters()).device
        batch = _covering(self._tokens([text]), self.context, step=max(1, self.context // 2))
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        with threads(self.n_threads_):
            nats, _ = self._scored(network, batch)
        # Windows come in the order of the text, so that what counts in them does too.
        return nats.double()[batch["counts"] > 0].cpu().numpy()

    @torch.inference_mode()
    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest next token of each text, as text; an empty one where the text ends.

        Parameters
        ----------
        X : str or sequence of str
            One text or several, of any length.
        """
        check_is_fitted(self)
        return np.array([self.sample(prompt=text, length=1, temperature=0.0)[0][len(text) :] for text in texts_of(X)])

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood of a token, in nats; higher is better."""
        texts = texts_of(X)
        return float(self.score_samples(texts).sum() / self._count(texts))

    def perplexity(self, X: Any) -> float:
        """Return the exponential of the mean negative log-likelihood of a token."""
        return math.exp(-self.score(X))

    def bits_per_byte(self, X: Any) -> float:
        """Return the length of an ideal code of the texts in bits, over their bytes in UTF-8.

        It compares models that cut the text differently.
        """
        texts = texts_of(X)
        return float(-self.score_samples(texts).sum() / math.log(2) / sum(len(text.encode()) for text in texts))

    @torch.inference_mode()
    def next_probabilities(self, context: str) -> np.ndarray:
        """Return the probabilities of the next token after ``context``, the beginning of a text.

        Parameters
        ----------
        context : str
            May be empty.

        Returns
        -------
        array of shape (tokens + 1,), float64
            By the ids of the tokenizer; the last is the end of the text.
        """
        check_is_fitted(self)
        network: Any = self.network_.eval()
        read = self._tokens([context]).to(next(network.parameters()).device).unsqueeze(0)
        with threads(self.n_threads_):
            logits = self._next_logits(self._stepper(network, read, 1)(read[:, -1]), read)
        return logits[0].double().softmax(0).cpu().numpy()

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that texts come in, and no target."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required = False
        return tags

    def _count(self, texts: Sequence[str]) -> int:
        tokenizer = self.tokenizer_
        return sum(len(tokenizer.encode(text)) for text in texts)

    @torch.inference_mode()
    def sample(
        self,
        n: int = 1,
        *,
        prompt: str = "",
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        random_state: int | None = None,
    ) -> list[str]:
        """Continue a prompt, or begin a text.

        Parameters
        ----------
        n : int
            Number of texts, 1 or more.
        prompt : str
            What they begin with.
        length : int
            Tokens to add, at most; a text that ends is not continued.
        temperature : float
            Below 1 the likely becomes likelier; 0 takes the likeliest each time.
        top_k, top_p : int, float, optional
            Draw among the ``top_k`` likeliest tokens; among the likeliest that together reach ``top_p``.
        random_state : int, optional
            Seed of the draws; a new one each time by default.

        Returns
        -------
        list of str
            The texts, prompt included.

        References
        ----------
        Goodfellow et al. 2016, §10.2.3; Holtzman et al. 2020 (nucleus sampling).
        """
        check_is_fitted(self)
        if n < 1 or length < 1:
            raise SettingError("n and length of 1 or more", f"{n} and {length}", "set for example n=1, length=200")
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        source = torch.Generator(device=device).manual_seed(resolve_seed(random_state))
        begun = self._tokens([prompt]).to(device).repeat(n, 1)
        with threads(self.n_threads_):
            drawn = self._continued(
                network, begun, length, temperature=temperature, top_k=top_k, top_p=top_p, generator=source
            )
        return [prompt + text for text in self._texts(drawn.cpu().numpy())]

    def _continued(self, network: Any, begun: Tensor, length: int, **rule: Any) -> Tensor:
        """Draw ``length`` tokens for each row; when the context is full, go on from its second half."""
        rows, first = begun.shape
        end = network.vocabulary - 1
        read = begun.new_full((rows, first + length), end)
        read[:, :first] = begun
        over = torch.zeros(rows, dtype=torch.bool, device=begun.device)
        # Asking the device whether all have ended makes it wait, but for the processor.
        every = 1 if begun.device.type == "cpu" else ASKED_EVERY
        step = self._stepper(network, begun, length)
        for place in range(first, first + length):
            if isinstance(step, Stepper) and not step.room:
                step = self._stepper(network, read[:, :place], first + length - place)
            logits = self._next_logits(step(read[:, place - 1]), read[:, :place])
            token = sample_next(logits, **rule).masked_fill(over, end)
            read[:, place] = token
            over |= token == end
            if place % every == 0 and bool(over.all()):
                break
        return read[:, first:]

    def _stepper(self, network: Any, read: Tensor, left: int) -> Callable[[Tensor], Tensor]:
        """Return what reads a token a row and says the logits of the next, after all of ``read`` but its end."""
        kept = read[:, -max(1, self.context // 2) :] if read.shape[1] > self.context else read
        if self.network == "transformer":
            capacity = min(self.context, kept.shape[1] - 1 + left)
            return Stepper(network, network.begin(kept[:, :-1], capacity=capacity))
        state = network.begin(kept[:, :-1])

        def step(tokens: Tensor) -> Tensor:
            nonlocal state
            logits, state = network.step(state, tokens)
            return logits

        return step

    def _texts(self, tokens: np.ndarray) -> list[str]:
        tokenizer = self.tokenizer_
        ended = [row[: np.argmax(row == tokenizer.size)] if (row == tokenizer.size).any() else row for row in tokens]
        return [tokenizer.decode(row) for row in ended]


def without_end(texts: Sequence[str], fraction: float) -> tuple[list[str], list[str]]:
    """Hold out the last part: whole texts where there are several, else the end of the one.

    Examples
    --------
    >>> without_end(["abcdefgh"], 0.25), without_end(["ab", "cd"], 0.1)
    ((['abcdef'], ['gh']), (['ab'], ['cd']))
    """
    if len(texts) > 1:
        held = min(len(texts) - 1, max(1, round(len(texts) * fraction)))
        return list(texts[:-held]), list(texts[-held:])
    cut = len(texts[0]) - max(1, round(len(texts[0]) * fraction))
    return [texts[0][:cut]], [texts[0][cut:]]


def _covering(tokens: Tensor, length: int, *, step: int | None = None) -> Batch:
    """Return windows that cover a sequence; each token but the first counts once, in ``counts``.

    The last window is moved back to end with the sequence; a sequence shorter than a window is padded.
    """
    n = len(tokens) - 1
    if n < 1:
        raise InputError("a text of one token or more", "an empty one", "leave empty texts out")
    if n <= length:
        padded = torch.cat([tokens, tokens.new_zeros(length - n)])
        counts = (torch.arange(length) < n).float().unsqueeze(0)
        return {**windows(padded, torch.tensor([0]), length), "counts": counts}
    step = length if step is None else step
    starts = torch.arange(0, n - length + step, step).clamp_max(n - length)
    places = starts.unsqueeze(1) + torch.arange(length)  # of targets; the first window that reaches one counts it
    covered = torch.cat([torch.tensor([0]), starts[:-1] + length])
    return {**windows(tokens, starts, length), "counts": (places >= covered.unsqueeze(1)).float()}
