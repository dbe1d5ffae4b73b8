"""Every setting of every estimator: documented, checked, refused with the mend, parsed by name."""

import math
from typing import get_args, get_origin

import numpy as np
import pytest

from estimators.cases import CLASSIFIERS, ESTIMATORS, answers_of, data_for, name_of, small
from gradus.core.errors import SettingError
from gradus.core.options import parse_setting, settings_of
from gradus.training.options import TrainingOptions

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)


def each(keep=lambda setting: True):
    """Run a test for every setting that it is about: those all share once, and each estimator's own."""
    shared = settings_of(TrainingOptions)
    pairs = [
        (cls, name)
        for cls in ESTIMATORS
        for name, setting in settings_of(cls).items()
        if keep(setting) and (cls is ESTIMATORS[0] or name not in shared)
    ]
    return pytest.mark.parametrize(("cls", "name"), pairs, ids=[f"{cls.__name__}-{name}" for cls, name in pairs])


def has_range(setting):
    return setting.low is not None or setting.high is not None


def has_words(setting):
    return any(isinstance(choice, str) for choice in setting.choices)


class Strange:
    """Of no type that a setting takes."""

    def __repr__(self):
        return "<strange>"


def is_sequence(setting):
    parts = [setting.kind, *get_args(setting.kind)]
    return any(get_origin(part) is tuple for part in parts)


def refused(cls, name, value):
    """Fit with one wrong setting; return the sentence, which comes before the data are looked at."""
    with pytest.raises(SettingError) as caught:
        cls(**{name: value}).fit("no data at all", None)
    sentence = str(caught.value)
    assert name in sentence and sentence.startswith("expected ") and "\n" not in sentence
    assert "; " in sentence
    return sentence


@every
def test_every_parameter_is_a_documented_setting(cls):
    assert set(settings_of(cls)) == set(cls().get_params())
    for name, setting in settings_of(cls).items():
        assert len(setting.help) > 5 and setting.help[0] != " " and setting.range, name


@every
def test_the_defaults_are_in_range(cls):
    cls().check_settings()
    for name, setting in settings_of(cls).items():
        value = getattr(cls(), name)
        assert value is setting.default
        # by value too: a default is excused by identity
        if isinstance(value, int | float) and not isinstance(value, bool):
            cls(**{name: type(value)(str(value))}).check_settings()


@each()
def test_a_value_of_another_type_is_refused(cls, name):
    if name == "random_state":
        with pytest.raises(SettingError, match="random_state"):
            small(cls, random_state=Strange()).fit(*data_for(cls))
        return
    sentence = refused(cls, name, Strange())
    assert "<strange>" in sentence and settings_of(cls)[name].help in sentence


@each(has_range)
def test_numbers_out_of_range_are_refused_and_at_the_edge_taken(cls, name):
    setting = settings_of(cls)[name]
    wrap = (lambda v: (v,)) if is_sequence(setting) else (lambda v: v)
    whole = isinstance(setting.default, int) or is_sequence(setting)
    if setting.low is not None:
        low = setting.low
        below = low if setting.open_low else (low - 1 if float(low).is_integer() else math.nextafter(low, -math.inf))
        refused(cls, name, wrap(below))
        if not setting.open_low:
            cls(**{name: wrap(low)}).check_settings()
    if setting.high is not None:
        refused(cls, name, wrap(setting.high + 1))
        if not whole:
            refused(cls, name, wrap(math.nextafter(setting.high, math.inf)))
        cls(**{name: wrap(setting.high)}).check_settings()
    refused(cls, name, wrap(float("nan")))


@each(has_words)
def test_a_misspelt_choice_names_the_nearest(cls, name):
    for word in [c for c in settings_of(cls)[name].choices if isinstance(c, str)]:
        sentence = refused(cls, name, word + "x")
        assert "did you mean '" in sentence and repr(word + "x") in sentence
        cls(**{name: word}).check_settings()


@each(lambda setting: setting.default is not None)
def test_a_number_for_a_word_and_a_word_for_a_number_are_refused(cls, name):
    setting = settings_of(cls)[name]
    default = setting.default
    if isinstance(default, bool):
        refused(cls, name, "yes")
        refused(cls, name, 1)
        cls(**{name: np.bool_(not default)}).check_settings()
    elif isinstance(default, int | float):
        refused(cls, name, str(default))
        refused(cls, name, True)
        refused(cls, name, [default])
    elif isinstance(default, str):
        refused(cls, name, -1.5)
    elif isinstance(default, tuple):
        refused(cls, name, "12")
        refused(cls, name, default[0])


@every
def test_an_unknown_setting_names_the_nearest(cls):
    with pytest.raises(SettingError, match="did you mean 'learning_rate'"):
        parse_setting(cls, "learning_rat", "1")
    with pytest.raises(SettingError, match=f"a setting of {cls.__name__}.*gradus config {cls.__name__}"):
        parse_setting(cls, "zzz", "1")
    with pytest.raises(ValueError, match="Invalid parameter 'zzz'"):
        cls().set_params(zzz=1)
    with pytest.raises(TypeError, match="zzz"):
        cls(zzz=1)


@each()
def test_the_text_of_a_default_means_the_default(cls, name):
    default = settings_of(cls)[name].default
    if isinstance(default, tuple):
        text = ",".join(map(str, default))
    else:
        text = str(default)
    assert parse_setting(cls, name, text) == default


@every
def test_settings_are_keyword_only_and_stored_as_given(cls):
    with pytest.raises(TypeError):
        cls(3)
    marker = [8, 4]
    assert cls(hidden=marker).hidden is marker


# -- settings that must do something ------------------------------------------------------------------------------

CHANGES = {
    "max_epochs": 2,
    "max_steps": 3,
    "batch_size": 7,
    "optimizer": "sgd",
    "learning_rate": 0.002,
    "weight_decay": 0.3,
    "schedule": "cosine",
    "warmup_steps": 9,
    "gradient_clip": 1e-3,
    "l1": 0.1,
    "l2": 0.1,
    "max_norm": 0.1,
    "weight_noise": 0.1,
    "average_decay": 0.9,
    "early_stopping": True,
    "random_state": 1,
    "hidden": (5,),
    "activation": "sigmoid",  # no class begins with it
    "dropout": 0.5,
    "input_dropout": 0.3,
    "normalization": "batch",
    "residual": True,
    "label_smoothing": 0.3,
    "class_weight": "balanced",
    "head": {True: "ordinal", False: "gaussian_learned"},
    "components": 2,
    "quantiles": (0.2, 0.5, 0.7),
    "channels": (3,),
    "features": 5,
    "pooling": "global",
    "network": "mlp",
}
TOGETHER = {
    "residual": {"hidden": (8, 8)},
    "components": {"head": "mixture"},
    "quantiles": {"head": "quantile"},
}


# The others change where, how loudly or how long, or have tests of their own.
@each(lambda setting: setting.name in CHANGES)
def test_a_changed_setting_changes_what_is_learned(cls, name):
    X, y = data_for(cls)
    if cls in CLASSIFIERS:
        y[:20] = "mid"  # so that balancing the classes matters
    value = CHANGES[name]
    if isinstance(value, dict):
        value = value[cls in CLASSIFIERS]
    base = TOGETHER.get(name, {})
    if name in ("hidden", "input_dropout") and "network" in settings_of(cls):
        base = {"network": "mlp"}
    plain, changed = small(cls, **base).fit(X, y), small(cls, **{**base, name: value}).fit(X, y)
    assert not np.array_equal(answers_of(plain, X), answers_of(changed, X))


@every
def test_accumulated_parts_make_the_same_step(cls):
    X, y = data_for(cls)
    whole = small(cls, batch_size=50).fit(X, y)
    for parts in (2, 7):
        cut = small(cls, batch_size=50, accumulate=parts).fit(X, y)
        assert np.allclose(answers_of(cut, X), answers_of(whole, X), rtol=1e-5)


@every
def test_budgets_end_training(cls):
    X, y = data_for(cls)
    steps = small(cls, max_steps=6).fit(X, y)
    assert steps.n_steps_ == 6 and steps.stopped_by_ == "max_steps"
    timed = small(cls, max_epochs=10**6, max_time=0.3).fit(X, y)
    assert timed.stopped_by_ == "max_time" and 0.3 <= timed.fit_seconds_ < 3
