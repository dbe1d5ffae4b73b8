"""Speak scikit-learn's callback protocol where the installed version has one."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from gradus.core.errors import SettingError

try:  # scikit-learn 1.9 and later
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # pragma: no cover - older versions have no callbacks to speak to

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Return the method as it is."""
        return method


if TYPE_CHECKING:
    from gradus.training.loop import Event, Trainer

__all__ = ["CallbackSupportMixin", "ScikitCallbacks", "with_callbacks"]


class ScikitCallbacks:
    """Report a fit, and each of its epochs, to the callbacks that `set_callbacks` put on an estimator.

    One object serves one fit, also where the loop runs twice (a retraining strategy): scikit-learn's task tree has
    one root. Each epoch's hooks get the data passed to ``fit`` and, if they ask for it, a fitted copy with the weights
    of that moment (their Polyak average where there is one) and the history so far. A callback may answer an epoch by
    ``True``: training then ends with the best weights so far.

    Parameters
    ----------
    estimator : Estimator
        The estimator being fitted.
    X, y : array-like
        What ``fit`` was given.
    sample_weight : array-like, optional
        Likewise; handed on as scikit-learn's metadata, which scorers take as keywords.
    """

    def __init__(self, estimator: Any, X: Any = None, y: Any = None, sample_weight: Any = None) -> None:
        self.estimator = estimator
        self.data = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
        self.active = bool(getattr(estimator, "_skl_callbacks", None)) and hasattr(estimator, "_init_callback_context")
        self._fit: Any = None
        self._epoch: Any = None

    def __call__(self, trainer: Trainer, event: Event) -> None:
        """Pass an event of the loop on."""
        if not self.active or event == "tick":
            return
        # What a callback draws from torch's generator must not move the dropout of the next epoch.
        with torch.random.fork_rng(devices=[]):
            if event == "start":
                self._begin(trainer)
            if event == "epoch":
                self._end_epoch(trainer)
            if event in ("start", "epoch") and trainer.finished is None:
                self._begin_epoch(trainer)
            if event == "stop" and self._epoch is not None:
                self._epoch.call_on_fit_task_end(estimator=self.estimator)  # announced, but never run
                self._epoch = None

    def finish(self) -> None:
        """Report the end of the fit, when the estimator has learned everything."""
        if self._fit is not None:
            with torch.random.fork_rng(devices=[]):
                self._fit.call_on_fit_task_end(estimator=self.estimator, **self.data, reconstruction_attributes={})

    def _begin(self, trainer: Trainer) -> None:
        if self._fit is None:
            once = getattr(self.estimator, "retrain", "none") == "none"
            planned = trainer.options.max_epochs if once else None
            self._fit = self.estimator._init_callback_context(max_subtasks=planned)
            self._fit.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def _begin_epoch(self, trainer: Trainer) -> None:
        options = trainer.options
        if trainer.epoch < options.max_epochs and (options.max_steps is None or trainer.step < options.max_steps):
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def _end_epoch(self, trainer: Trainer) -> None:
        if self._epoch is None:
            return
        context, self._epoch = self._epoch, None
        stop = context.call_on_fit_task_end(
            estimator=self.estimator, **self.data, reconstruction_attributes=lambda: _learned(trainer)
        )
        if stop and trainer.finished is None:
            trainer.finished = "callback"


def _learned(trainer: Trainer) -> dict[str, Any]:
    """Return what a copy of the estimator needs to answer as of now; called only if a hook asks for the copy."""
    if trainer.sharding is not None:
        expected = "callbacks that do not ask for the fitted estimator where training is sharded"
        raise SettingError(expected, "one that does", "leave it out, or set shard='off'")
    with nullcontext() if trainer.average is None else trainer.average.applied():
        network = copy.deepcopy(trainer.network)
    return {
        "network_": network.eval().float(),
        "n_threads_": trainer.n_threads,
        "history_": list(trainer.history),
        "n_epochs_": len(trainer.history),
        "n_steps_": trainer.step,
    }
