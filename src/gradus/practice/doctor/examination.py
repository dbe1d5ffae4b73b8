"""The examination: every stage in order, cheapest first, within a budget of time."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from gradus.core.errors import GradusError, InputError
from gradus.core.randomness import isolated
from gradus.core.threads import threads
from gradus.practice.doctor.checks_answers import check_answers
from gradus.practice.doctor.checks_compared import check_compared, check_heard
from gradus.practice.doctor.checks_data import check_data, describe
from gradus.practice.doctor.checks_evaluate import check_evaluate
from gradus.practice.doctor.checks_examples import check_examples
from gradus.practice.doctor.checks_flow import check_flow
from gradus.practice.doctor.checks_gradients import check_custom_gradients, check_steps, check_whole_gradient
from gradus.practice.doctor.checks_handed import check_handed, prepares
from gradus.practice.doctor.checks_layers import check_layers
from gradus.practice.doctor.checks_loading import check_loading
from gradus.practice.doctor.checks_made import check_made, check_players
from gradus.practice.doctor.checks_pairs import check_pairs
from gradus.practice.doctor.checks_series import check_series
from gradus.practice.doctor.checks_step import check_step, has_players
from gradus.practice.doctor.checks_training import check_training
from gradus.practice.doctor.checks_wiring import check_wiring
from gradus.practice.doctor.course import Course
from gradus.practice.doctor.findings import Diagnosis, Finding, ranked
from gradus.practice.doctor.implied import implied_loss
from gradus.practice.doctor.judge import Judge
from gradus.practice.doctor.patient import Kept, Patient, untouched
from gradus.practice.doctor.task import Task, task_of, with_ignored
from gradus.practice.doctor.trial import quiet

__all__ = ["examine", "examine_build"]

SECONDS = 40.0
SLOW = 1.0  # seconds of the processor that a build may take, to be asked again for each experiment


def examine(
    network: Any,
    *,
    train: Any,
    optimizer: Any,
    loss: Any = None,
    objective: Any = None,
    valid: Any = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    step: Any = None,
    evaluate: Any = None,
    max_time: float = SECONDS,
) -> Diagnosis:
    """Examine a network and all that trains it; nothing of it is changed.

    Parameters
    ----------
    network : nn.Module
        The network, before its training.
    train, valid : tuple of tensors, Dataset or DataLoader
        Inputs and targets; of tensors, batches are cut here.
    optimizer : torch.optim.Optimizer, or several
        Made of the network's parameters.
    loss : callable, optional
        ``(output, target) -> scalar``; or
    objective : callable, optional
        ``(network, batch) -> scalar``.
    batch_size, epochs : int, optional
        Of the training that is meant.
    step : callable, optional
        The user's own training step, ``(network, batch, optimizer, loss)``.
    evaluate : callable, optional
        The user's own evaluation, ``(network, valid) -> float``, higher is better.
    max_time : float
        Most time to take, in seconds.

    Returns
    -------
    Diagnosis
        Verdict, findings, and what was measured.

    Raises
    ------
    InputError
        If a part is missing or of the wrong kind.
    """
    given = {
        "network": network, "train": train, "valid": valid, "optimizer": optimizer, "loss": loss,
        "objective": objective, "step": step, "evaluate": evaluate, "batch_size": batch_size, "epochs": epochs,
    }  # fmt: skip
    patient = Patient.of(given)
    start = Kept(patient)

    def again() -> Patient:
        start.restore()  # each experiment begins where the user's training would
        return replace(Patient.of(given), shared=True)

    def each(stage: Callable[[], Any]) -> Any:
        with untouched(patient):
            return stage()

    return _examined(again, each, max_time)


def examine_build(build: Callable[..., Mapping[str, Any]], *, max_time: float = SECONDS, seed: int = 0) -> Diagnosis:
    """Examine what a function ``build(seed=0)`` returns, built anew for each experiment.

    Parameters
    ----------
    build : callable
        Returns a dict with the arguments of `examine` by name. One that takes long, as a program does that trains a
        teacher first, is asked twice; each experiment then begins with what it returned, put back as it was.
    max_time : float
        Most time to take, in seconds.
    seed : int
        Handed to ``build``.
    """
    kept: list[tuple[Mapping[str, Any], Kept]] = []
    spent: list[float] = []

    def built() -> Mapping[str, Any]:
        try:
            return build(seed=seed)
        except TypeError as error:
            if "seed" not in str(error):
                raise
            return build()

    def again() -> Patient:
        if kept:
            given, start = kept[0]
            start.restore()
            return replace(Patient.of(given, seed), shared=True)
        begin = time.process_time()
        patient = Patient.of(given := built(), seed)
        spent.append(time.process_time() - begin)
        if len(spent) > 1 and spent[-1] > SLOW:  # the first one may have waited for imports
            kept.append((given, Kept(patient)))
            return replace(patient, shared=True)
        return patient

    return _examined(again, lambda stage: stage(), max_time)


def _examined(again: Callable[[], Patient], each: Callable[[Callable[[], Any]], Any], max_time: float) -> Diagnosis:
    begin = time.perf_counter()
    diagnosis = Diagnosis([])
    found: list[Finding] = []
    with quiet(), threads(1), isolated(0):
        try:
            each(lambda: _stages(again, each, found, diagnosis, begin + max_time))
        except GradusError:
            raise
        except Exception as error:
            if not _ours(error):
                found.append(_failed(error))
    diagnosis.findings = ranked(found)
    diagnosis.seconds = time.perf_counter() - begin
    return diagnosis


def _stages(
    again: Callable[[], Patient],
    each: Callable[[Callable[[], Any]], Any],
    found: list[Finding],
    diagnosis: Diagnosis,
    deadline: float,
) -> None:
    patient = again()
    batch = patient.train.first()
    if batch is None:
        raise InputError("at least one training batch", "none", "return data that yield batches")
    other = again()
    plain = _measurable(other, batch)
    implied = plain and patient.loss is None and each(lambda: _implied(other, batch)) is not None

    def fresh() -> Patient:
        torch.manual_seed(0)
        made = again()
        made.plain = plain
        if implied:
            made.implied = implied_loss(made, batch)
        return made

    def twin() -> Patient | None:
        made = fresh()
        return None if made.shared else made

    judge, failure = None, None
    try:
        judge = Judge.of(fresh())
        task = judge.task = each(lambda: _unlabelled(fresh(), judge.task, batch))
        task = Task("other") if judge.parted else task
    except GradusError:
        raise
    except Exception as error:  # of the loss on the output: the checks of wiring may know why
        failure, task = error, _asked_of(patient, batch)
    diagnosis.measures["task"] = task.kind
    diagnosis.tables["data"] = describe(patient.train.rows(2000))
    _run(found, lambda: check_data(fresh(), task), each)
    _run(found, lambda: check_series(fresh(), task), each)
    _run(found, lambda: check_loading(fresh()), each)
    _run(found, lambda: check_layers(fresh(), batch), each)
    if plain:
        _run(found, lambda: check_wiring(fresh(), task, batch), each)
        _run(found, lambda: check_flow(fresh(), task, batch), each)
        _run(found, lambda: check_examples(fresh(), task, batch, twin()), each)
        _run(found, lambda: check_custom_gradients(fresh(), batch), each)
        if not any(f.cause in ("no_gradient", "wrong_gradient") for f in found):
            _run(found, lambda: check_whole_gradient(fresh(), batch), each)
            _run(found, lambda: check_steps(fresh(), _first(fresh(), 3)), each)
    for check in (check_heard, check_compared, check_made, check_players, check_pairs):
        _run(found, lambda check=check: check(fresh(), batch), each)  # type: ignore[misc]
    _run(found, lambda: check_step(fresh()), each)
    if judge is None:
        if failure is not None:
            found.append(_failed(failure, certain=not found))
        return
    _training(fresh, task, judge, batch, each, found, diagnosis, deadline)


def _training(
    fresh: Callable[[], Patient],
    task: Task,
    judge: Judge,
    batch: Any,
    each: Callable[[Callable[[], Any]], Any],
    found: list[Finding],
    diagnosis: Diagnosis,
    deadline: float,
) -> None:
    """Train, treat, and ask the trained network; the last stages."""
    certain = max((f.confidence for f in found), default=0.0)
    left = deadline - time.perf_counter()
    suspected = frozenset(f.cause for f in found if f.place == "step")
    course: Course
    course, more, table = each(
        lambda: check_training(fresh, task, judge, seconds=max(2.0, left - 2), treat=certain < 0.9, suspected=suspected)
    )
    found += more
    if course.below:
        found[:] = [_surer(f) for f in found]
    diagnosis.tables["layers"] = table
    diagnosis.tables["epochs"] = course.base.epochs
    diagnosis.tables["treatments"] = course.treated
    diagnosis.measures |= {
        "skill": _rounded(course.base.skill), "train_skill": _rounded(course.train_skill),
        "simple_models": {k: _rounded(v) for k, v in course.reference.items()},
        "first_loss": _rounded(course.base.head(1)), "last_loss": _rounded(course.base.tail()),
        "steps": len(course.base.losses), "complete": course.base.complete,
    }  # fmt: skip
    if course.base.exception is not None:
        found.append(_failed(course.base.exception, certain=not found))
    elif course.base.patient is not None and course.base.finite:
        trained = course.base.patient
        _run(found, lambda: check_evaluate(trained, task), each)
        _run(found, lambda: check_handed(trained, batch), each)
        _run(found, lambda: check_answers(trained, task), each)


def _run(
    found: list[Finding], check: Callable[[], Iterable[Finding]], each: Callable[[Callable[[], Any]], Any]
) -> None:
    """Run one check; one that cannot be made on this program says nothing."""

    def gather() -> None:
        for finding in check():  # one by one: what was found before a failure stays
            found.append(finding)

    try:
        each(gather)
    except GradusError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError):
        return


def _first(patient: Patient, count: int) -> list[Any]:
    """Return the first training batches."""
    return list(islice(patient.train.batches(torch.Generator().manual_seed(0)), count))


def _implied(patient: Patient, batch: Any) -> Any:
    """Return the loss inside the patient's objective; a program that fails at it tells so later."""
    try:
        return implied_loss(patient, batch)
    except Exception:
        return None


def _unlabelled(patient: Patient, task: Task, batch: Any) -> Task:
    """Return the task with the class numbers of a training batch that the loss passes over, as well."""
    if task.kind != "classes" or patient.criterion is None or not patient.plain:
        return task
    try:
        patient.network.eval()
        with torch.no_grad():
            output = patient.forward(batch)
        here = with_ignored(task, patient.criterion, output, patient.target(batch)).ignored
    except Exception:  # a program that fails is told so elsewhere
        return task
    return replace(task, ignored=tuple(sorted({*task.ignored, *here})))


def _asked_of(patient: Patient, batch: Any) -> Task:
    """Return the task as far as output and target tell."""
    try:
        patient.network.eval()
        with torch.no_grad():
            return task_of(patient.forward(batch), patient.target(batch), patient.inputs(batch)[0])
    except Exception:
        return Task("other")


def _measurable(patient: Patient, batch: Any) -> bool:
    """Whether the plain loss of a batch is what training lowers and validation tells of.

    A program with a step of its own may have none.
    """
    if _apart(patient, batch):
        return False
    if patient.step is None:
        return True
    try:
        patient.measure(batch)
        return not has_players(patient) and not prepares(patient, batch)
    except Exception:
        return False


def _apart(patient: Patient, batch: Any) -> bool:
    """Whether rows of validation have other parts than those of training, and are for the user's own evaluation."""
    if patient.evaluate is None or patient.valid is None:
        return False
    other = patient.valid.first()
    if not (isinstance(batch, tuple | list) and isinstance(other, tuple | list)) or len(batch) == len(other):
        return False
    try:
        patient.measure(other)
    except Exception:  # what training lowers cannot be asked of them
        return True
    return False


def _ours(error: BaseException) -> bool:
    """Whether it was raised while nothing of the program ran: a rule that did not expect such a program."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [f.filename.replace("\\", "/") for f in frames]
    asked = any(name.endswith(("doctor/patient.py", "doctor/trial.py")) for name in files)
    return not asked and all("/gradus/" in name or "site-packages" in name for name in files)


def _failed(error: BaseException, *, certain: bool = True) -> Finding:
    """Return what a program raised, with the last line of its own; a cause that was found comes before it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    own = [f for f in frames if "gradus" not in f.filename.replace("\\", "/").split("/")]
    place = (
        f"line {own[-1].lineno} of {own[-1].filename.replace(chr(92), '/').rpartition('/')[2]}" if own else "program"
    )
    words = str(error).splitlines()[0] if str(error) else "no message"
    return Finding("program_fails", place, f"{type(error).__name__}: {words}", 0.97 if certain else 0.6)


def _surer(finding: Finding) -> Finding:
    """Return a finding of what is harmless where a network learns all the same, for one that does not."""
    hints = finding.cause in ("wrong_axis", "constant_inputs") and finding.place == "train inputs"
    hints |= finding.cause == "unnormalized_inputs" and finding.place.startswith("column")
    hints |= finding.cause == "gradient_clip" and finding.confidence > 0.45
    harmless = finding.cause == "padding_leak" or (hints and finding.confidence < 0.5)
    sure = 0.88 if finding.cause == "padding_leak" and finding.confidence > 0.47 else 0.75
    return replace(finding, confidence=max(sure, finding.confidence)) if harmless else finding


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None
