"""Speak scikit-learn's callback protocol where the installed version has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:  # scikit-learn 1.9 and later
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # pragma: no cover - older versions have no callbacks to speak to

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:  # type: ignore[no-redef]
        """Return the method as it is."""
        return method


if TYPE_CHECKING:
    from gradus.training.loop import Event, Trainer

__all__ = ["CallbackSupportMixin", "ScikitCallbacks", "with_callbacks"]


class ScikitCallbacks:
    """Report a fit and each of its epochs to the callbacks set on an estimator.

    A scikit-learn callback may answer an epoch by asking to stop; training then ends with the best weights so far.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.active = bool(getattr(estimator, "_skl_callbacks", None)) and hasattr(estimator, "_init_callback_context")
        self._fit: Any = None
        self._epoch: Any = None

    def __call__(self, trainer: Trainer, event: Event) -> None:
        """Pass an event of the loop on."""
        if not self.active:
            return
        if event == "start":
            self._fit = self.estimator._init_callback_context(max_subtasks=trainer.options.max_epochs)
            self._fit.call_on_fit_task_begin(estimator=self.estimator)
        if event == "epoch":
            self._step(trainer)
        if event == "stop":
            self._fit.call_on_fit_task_end(estimator=self.estimator)

    def _step(self, trainer: Trainer) -> None:
        context = self._fit.subcontext(task_name="epoch")
        context.call_on_fit_task_begin(estimator=self.estimator)
        state = {"network_": trainer.network, "n_threads_": trainer.n_threads}
        learned = {k: v for k, v in vars(self.estimator).items() if k.endswith("_") and not k.startswith("_")}
        stop = context.call_on_fit_task_end(
            estimator=self.estimator,
            metadata=dict(trainer.history[-1]),
            reconstruction_attributes={**learned, **state},
        )
        if stop and trainer.finished is None:
            trainer.finished = "callback"
