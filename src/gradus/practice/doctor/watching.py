"""Watch a training loop of the user's own, unchanged, and say afterwards what was wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from gradus.practice.doctor.findings import Diagnosis, Finding, ranked
from gradus.practice.doctor.hearing import StepWatch, heard

__all__ = ["watch"]


class watch:
    """Listen to a training loop from outside; ``diagnosis`` holds the verdict at the end.

    Nothing of the loop is changed or run again, so only what shows in passing is found: gradients that are never
    cleared, never taken or never reach a layer, parameters that stand still, evaluation mode, losses that grow or are
    not finite, units that are dead.

    Parameters
    ----------
    network : nn.Module
        The network that is trained.
    optimizer : torch.optim.Optimizer
        Of the loop; several as several arguments.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    >>> with watch(network, optimizer) as seen:
    ...     for _ in range(20):  # zero_grad has been forgotten
    ...         loss = network(torch.ones(4, 2)).square().mean()
    ...         loss.backward()
    ...         optimizer.step()
    >>> seen.diagnosis.verdict, seen.diagnosis.findings[0].cause
    ('faulty', 'missing_zero_grad')
    """

    def __init__(self, network: nn.Module, *optimizer: torch.optim.Optimizer) -> None:
        self.network, self.optimizers = network, list(optimizer)
        self.diagnosis = Diagnosis([])

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._seen = StepWatch(events=[[]], training=[[]])
        self._start = [(n, p, p.detach().clone()) for n, p in self.network.named_parameters() if p.requires_grad]
        self._dead: dict[str, float] = {}
        names = {m: n for n, m in self.network.named_modules()}

        def look(module: nn.Module, _: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim > 1:
                zero = float((output.detach().reshape(len(output), -1).abs().amax(0) == 0).double().mean())
                self._dead[names[module]] = min(zero, self._dead.get(names[module], 1.0))

        kinds = (nn.ReLU, nn.ReLU6)
        self._handles = [m.register_forward_hook(look) for m in self.network.modules() if isinstance(m, kinds)]
        self._listening = heard(self._seen, self.network)
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and draw conclusions; an error of the loop goes on its way."""
        self._listening.__exit__(kind, error, trace)
        for handle in self._handles:
            handle.remove()
        self.diagnosis = Diagnosis(ranked(self._findings()))
        losses = [v for v in self._seen.losses if math.isfinite(v)]
        self.diagnosis.measures = {
            "steps": self._seen.counts["step"],
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
        }

    def _findings(self) -> Iterator[Finding]:
        seen, counts = self._seen, self._seen.counts
        still = [n for n, p, start in self._start if torch.equal(p.detach(), start)]
        if counts["backward"] == 0:
            if seen.training[0] and len(still) == len(self._start):
                yield Finding("missing_backward", "loop", f"{len(seen.training[0])} passes forward, none back", 0.9)
            return
        if counts["step"] == 0:
            yield Finding("missing_step", "loop", f"{counts['backward']} backward passes, and no step", 0.95)
            return
        yield from self._gradients(still)
        yield from self._losses()
        modes = seen.training[0]
        from gradus.practice.doctor.checks_step import minds_mode

        if modes and not any(modes) and minds_mode(self.network):
            yield Finding("eval_in_training", "loop", "the network is in evaluation mode in every pass", 0.9)
        for name, share in self._dead.items():
            if share > 0.9:
                yield Finding("dead_units", name, f"{share:.0%} of its units were zero in every pass", 0.6)

    def _gradients(self, still: list[str]) -> Iterator[Finding]:
        seen, counts = self._seen, self._seen.counts
        kept = sum(seen.kept[1:])
        if counts["step"] >= 4 and kept > 0.9 * (len(seen.kept) - 1) and counts["step"] > 0.7 * counts["backward"]:
            if counts["zero"] < 0.1 * counts["step"]:
                seen_words = f"in {kept} of {len(seen.kept)} backward passes earlier gradients were still there"
                yield Finding("missing_zero_grad", "loop", seen_words, 0.93)
        lost = sum(u == 0 < r for u, r in zip(seen.used, seen.raw, strict=False))
        if lost > 0.8 * counts["step"]:
            yield Finding("wrong_step_order", "loop", f"{lost} of {counts['step']} steps found no gradient", 0.93)
        elif max(seen.raw, default=0.0) == 0:
            yield Finding("no_gradient", "loop", f"{counts['backward']} backward passes reach no parameter", 0.95)
        elif still and len(still) <= len(self._start):
            reached = [n for n in still if any(n == name and p.grad is not None for name, p, _ in self._start)]
            cause = "not_in_optimizer" if reached else "no_gradient"
            words = f"{len(still)} of {len(self._start)} parameters have not moved: {', '.join(still[:3])}"
            yield Finding(cause, still[0].rpartition(".")[0] or still[0], words, 0.8)

    def _losses(self) -> Iterator[Finding]:
        losses = self._seen.losses
        bad = next((i for i, v in enumerate(losses) if not math.isfinite(v)), None)
        if bad is not None and not math.isnan(losses[0]):
            yield Finding("non_finite", "loss", f"the loss is {losses[bad]} at step {bad}", 0.9)
            return
        quarter = len(losses) // 4
        if quarter >= 5:
            last = sum(losses[-quarter:]) / quarter
            if last > losses[0] + 0.5 * abs(losses[0]):
                yield Finding("learning_rate_too_high", "loss", f"it goes from {losses[0]:.3g} to {last:.3g}", 0.8)
