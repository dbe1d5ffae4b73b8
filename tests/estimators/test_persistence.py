"""Saving and loading: what comes back is the same estimator, and what is not one is refused."""

import json
import os
import pickle
import pickletools
import signal
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from joblib.externals.loky.backend.reduction import dumps as loky_dumps
from sklearn import config_context

from estimators.cases import CLASSIFIERS, ESTIMATORS, REGRESSORS, answers_of, data_for, name_of, small, weights_of
from forks import as_nobody, limit_file_size, public_folder, run
from gradus.core.errors import (
    DamagedFileError,
    DataError,
    GradusError,
    InputError,
    SettingError,
    StorageError,
)
from gradus.estimators import gradient, persistence
from gradus.estimators.mlp import MLPClassifier, MLPRegressor
from gradus.estimators.persistence import load

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
CLASS_HEADS = ["auto", "categorical", "ordinal"]
NUMBER_HEADS = ["gaussian", "gaussian_learned", "mixture", "quantile", "poisson", "negative_binomial"]


def learned(model):
    """Return the fitted attributes with arrays and networks in a form that == compares."""
    found = {}
    for name, value in vars(model).items():
        if name.endswith("_"):
            found[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return {name: value for name, value in found.items() if name != "network_"}


# -- the same estimator comes back --------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 3])
@every
def test_a_model_of_a_larger_machine_computes_with_the_cores_there_are(cls, cores, tmp_path, monkeypatch):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    answers = answers_of(model, X)
    model.n_threads_ = 1 << 40
    back = cls.load(model.save(tmp_path / "model"))
    asked = []
    monkeypatch.setattr(gradient, "cores", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert np.allclose(answers_of(back, X), answers, rtol=1e-12)
    assert max([1, *asked]) == max(cores, torch.get_num_threads() if cores > 1 else 1)
    assert back.n_threads_ == 1 << 40  # what was recorded stays


@every
def test_everything_learned_comes_back(cls, tmp_path):
    X, y = data_for(cls)
    model = small(cls, dropout=0.2).fit(X, y, X_val=X, y_val=y)
    back = cls.load(model.save(tmp_path / "model"))
    assert type(back) is cls and back.get_params() == model.get_params()
    assert learned(back) == learned(model)
    assert np.array_equal(weights_of(back), weights_of(model))
    assert np.array_equal(answers_of(back, X), answers_of(model, X))
    assert not back.network_.training
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray):
            assert getattr(back, name).dtype == value.dtype, name


@pytest.mark.parametrize("head", CLASS_HEADS)
@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_every_head_over_classes_comes_back(cls, head, tmp_path):
    X, y = data_for(cls)
    model = small(cls, head=head).fit(X, y)
    assert np.array_equal(load(model.save(tmp_path)).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("head", NUMBER_HEADS)
@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_every_head_over_numbers_comes_back(cls, head, tmp_path):
    X, y = data_for(cls)
    model = small(cls, head=head).fit(X, y)
    back, targets = load(model.save(tmp_path)), torch.tensor(y, dtype=torch.float32)
    assert np.array_equal(back.predict(X), model.predict(X))
    densities = [m.predict_distribution(X).log_prob(targets) for m in (back, model)]
    assert torch.equal(*densities) and densities[0].isfinite().all()


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_several_labels_come_back(cls, tmp_path):
    X, y = data_for(cls)
    labels = np.stack([y == "low", y != "top"], axis=1).astype(int)
    model = small(cls).fit(X, labels)
    assert np.array_equal(load(model.save(tmp_path)).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "names",
    [
        np.array(["no", "maybe", "yes"]),
        np.array(["no", "maybe", "yes"], dtype=object),
        np.array(["naïve", "日本", "\U0001f600 '\"\\\n"]),
        np.array([False, True, True]),
        np.array([-3, 0, 2**40]),
        np.array([1, 2, 3], dtype=np.uint8),
        np.array([1, 2, 3], dtype=">i4"),
        np.array([1.0, 2.0, 3.0]),
    ],
    ids=lambda names: names.dtype.str,
)
def test_classes_keep_their_type(names, tmp_path):
    X, y = data_for(MLPClassifier)
    targets = names[np.unique(y, return_inverse=True)[1]]
    model = small(MLPClassifier).fit(X, targets)
    back = load(model.save(tmp_path))
    assert back.classes_.dtype == model.classes_.dtype
    assert back.classes_.tolist() == model.classes_.tolist()
    assert [type(c) for c in back.classes_] == [type(c) for c in model.classes_]
    assert back.predict(X).dtype == model.predict(X).dtype
    assert back.score(X, targets) == model.score(X, targets)


def test_settings_that_json_has_no_word_for_come_back(tmp_path):
    X, y = data_for(MLPClassifier)
    settings = {
        "class_weight": {"low": 2.0, "mid": np.float32(0.5), "top": 1},
        "hidden": [8, 4],
        "batch_size": np.int64(16),
        "learning_rate": np.float32(0.25),
        "gradient_clip": 1e-310,
        "random_state": np.random.RandomState(5),
    }
    model = small(MLPClassifier, **settings).fit(X, y)
    back = load(model.save(tmp_path))
    assert back.class_weight == {"low": 2.0, "mid": 0.5, "top": 1}
    assert tuple(back.hidden) == (8, 4) and type(back.batch_size) is int and back.learning_rate == 0.25
    assert back.gradient_clip == 1e-310
    assert back.random_state is None and back.seed_ == model.seed_
    refitted = small(MLPClassifier, **{**settings, "random_state": back.seed_}).fit(X, y)
    assert np.array_equal(weights_of(refitted), weights_of(model))


def test_whole_number_classes_keyed_by_class_weight_come_back(tmp_path):
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier, class_weight={0: 1.0, 1: 3.0}).fit(X, (y == "low").astype(int))
    assert load(model.save(tmp_path)).class_weight == {0: 1.0, 1: 3.0}


def test_a_frame_with_words_dates_and_gaps_comes_back(tmp_path):
    tabular = pytest.importorskip("gradus.applications.tabular")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(80) < 0.2, np.nan, rng.normal(size=80)),
            "__list__": rng.choice(["red", "green", "blue"], 80),
            "day": pd.date_range("2024-01-01", periods=80),
        }
    )
    y = rng.choice(["a", "b"], 80)
    model = small(tabular.TabularClassifier).fit(frame, y)
    back = load(model.save(tmp_path))
    assert np.array_equal(back.predict_proba(frame), model.predict_proba(frame))
    assert learned(back) == learned(model)


def test_settings_changed_after_the_fit_do_not_break_the_file(tmp_path):
    X, y = data_for(MLPClassifier)
    model = small(MLPClassifier).fit(X, y)
    before = model.predict_proba(X)
    back = load(model.set_params(hidden=(3, 3), activation="tanh").save(tmp_path))
    assert back.hidden == (3, 3)
    assert np.array_equal(back.predict_proba(X), before)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), before)


def test_a_long_history_fits_into_the_file(tmp_path):
    X, y = data_for(MLPRegressor)
    model = small(MLPRegressor).fit(X, y)
    row = model.history_[0]
    model.history_ = [{**row, "epoch": i, "loss": i / 3} for i in range(300_000)]
    start = time.perf_counter()
    back = load(model.save(tmp_path))
    assert back.history_ == model.history_ and type(back.history_[7]["epoch"]) is int
    assert time.perf_counter() - start < 20
    assert (tmp_path / "estimator.json").stat().st_size < 20_000


@every
def test_the_optimizers_memory_comes_back(cls, tmp_path):
    X, y = data_for(cls)
    model = small(cls).partial_fit(X, y).partial_fit(X, y)
    back = load(model.save(tmp_path))
    over = pickle.loads(pickle.dumps(model))
    for one in (model, back, over):
        one.partial_fit(X, y)
    assert np.array_equal(weights_of(back), weights_of(model))
    assert np.array_equal(weights_of(over), weights_of(model))
    assert back.n_epochs_ == 3


def test_a_loaded_estimator_goes_on_with_a_warm_start(tmp_path):
    X, y = data_for(MLPRegressor)
    model = small(MLPRegressor, warm_start=True).fit(X, y)
    back = load(model.save(tmp_path))
    assert np.array_equal(weights_of(back.fit(X, y)), weights_of(model.fit(X, y)))


# -- pickle only as an envelope -----------------------------------------------------------------------------------


def names_in(data):
    return [str(arg) for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]


@pytest.mark.parametrize("dumps", [pickle.dumps, loky_dumps], ids=["pickle", "loky"])
@every
def test_between_processes_an_estimator_is_json_and_safetensors(cls, dumps):
    X, y = data_for(cls)
    model = small(cls, random_state=np.int64(0)).partial_fit(X, y)
    data = bytes(dumps(model))
    # No class or function of torch is named anywhere: nothing of it is unpickled on the other side.
    assert not [name for name in names_in(data) if "torch" in name and len(name) < 200]
    back = pickle.loads(data)
    assert np.array_equal(answers_of(back, X), answers_of(model, X))
    assert learned(back) == learned(model) and back.get_params() == model.get_params()


@every
def test_an_unfitted_estimator_crosses_too(cls):
    with config_context(enable_metadata_routing=True):
        model = small(cls, hidden=(5,)).set_fit_request(sample_weight=True)
    back = pickle.loads(pickle.dumps(model))
    assert back.get_params() == model.get_params() and learned(back) == {}
    assert str(back.get_metadata_routing()) == str(model.get_metadata_routing())


def test_an_estimator_whose_fit_was_refused_crosses_too():
    X, _ = data_for(MLPClassifier)
    model = small(MLPClassifier)
    with pytest.raises(InputError):
        model.fit(X, np.full(50, "low"))
    assert learned(pickle.loads(pickle.dumps(model))) == {}


# -- damage -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    X, y = data_for(MLPClassifier)
    folder = tmp_path_factory.mktemp("saved")
    model = small(MLPClassifier, hidden=(2,), max_epochs=1).fit(X, y)
    return model.save(folder), model, X


def tensors_in(folder):
    [path] = folder.glob("tensors-*.safetensors")
    return path


def same(one, other):
    return learned(one) == learned(other) and one.get_params() == other.get_params()


def flip_and_load(path, position, bit, saved):
    """Load with one bit flipped; return whether it was refused by the file's name, or made no difference."""
    folder, model, _ = saved
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        back = load(folder)
    except DamagedFileError as error:
        return path.name in str(error) or f"{error}"
    except GradusError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        path.write_bytes(whole)
    return same(back, model) or "loaded as another estimator"


def test_each_flipped_byte_of_the_tensors_is_found(saved):
    path = tensors_in(saved[0])
    size = path.stat().st_size
    for position in [*range(0, 400), *range(400, size, 37), size - 1]:
        assert flip_and_load(path, position, position % 8, saved) is True, position


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_each_flipped_byte_of_the_description_is_found_or_without_meaning(saved, step):
    path = saved[0] / "estimator.json"
    for position in range(0, path.stat().st_size, step):
        assert flip_and_load(path, position, position % 8, saved) is True, position


@pytest.mark.parametrize("kept", [0, 1, 7, 100, -1])
@pytest.mark.parametrize("which", ["estimator.json", "tensors"])
def test_a_file_cut_short_is_found(saved, which, kept):
    folder = saved[0]
    path = tensors_in(folder) if which == "tensors" else folder / which
    whole = path.read_bytes()
    # The last byte of the description is the end of its last line.
    path.write_bytes(whole[:kept] if kept >= 0 or which == "tensors" else whole[:-2])
    try:
        with pytest.raises(DamagedFileError, match=path.name):
            load(folder)
    finally:
        path.write_bytes(whole)


def resealed(folder, change, target):
    """Copy a model with its description changed by someone who knows how to seal it."""
    plain = json.loads((folder / "estimator.json").read_text())
    change(plain)
    target.mkdir(exist_ok=True)
    (target / tensors_in(folder).name).write_bytes(tensors_in(folder).read_bytes())
    plain["sha256"] = persistence._seal(plain)
    (target / "estimator.json").write_text(json.dumps(plain))
    return target


def test_a_newer_format_says_upgrade(saved, tmp_path):
    folder = resealed(saved[0], lambda plain: plain.update(format=2, gradus="9.9"), tmp_path / "new")
    with pytest.raises(DataError, match=r"format 1 or older, got format 2, written by gradus 9\.9; upgrade"):
        load(folder)


def test_another_class_is_refused_by_name(saved):
    with pytest.raises(InputError, match="a saved MLPRegressor, got a saved MLPClassifier"):
        MLPRegressor.load(saved[0])


@pytest.mark.parametrize("name", ["Popen", "os.system", "MLPClassifer", "Estimator", "__main__.Evil", ""])
def test_a_class_outside_the_catalog_is_refused(saved, tmp_path, name):
    folder = resealed(saved[0], lambda plain: plain.update({"class": name}), tmp_path / "strange")
    with pytest.raises(InputError, match="a class of the catalog"):
        load(folder)
    with pytest.raises(InputError, match="a class of the catalog"):
        MLPClassifier.load(folder)


@dataclass(kw_only=True, eq=False, repr=False)
class Mine(MLPClassifier):
    """A class of a user's own."""


def test_a_users_own_class_is_loaded_through_itself(tmp_path):
    X, y = data_for(MLPClassifier)
    folder = small(Mine).fit(X, y).save(tmp_path)
    assert isinstance(Mine.load(folder), Mine)
    with pytest.raises(InputError, match=r"Mine\.load"):
        load(folder)


def test_a_folder_without_the_files_is_refused(tmp_path, saved):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match=r"a folder with estimator\.json"):
            load(path)
    (tmp_path / "estimator.json").write_bytes((saved[0] / "estimator.json").read_bytes())
    with pytest.raises(StorageError, match="safetensors"):
        load(tmp_path)


def test_an_unknown_setting_names_the_nearest(saved, tmp_path):
    def change(plain):
        plain["settings"]["learning_rat"] = 1.0

    with pytest.raises(SettingError, match="did you mean 'learning_rate'"):
        load(resealed(saved[0], change, tmp_path / "odd"))


def at(structure, *path):
    """Find a place in the flattened dictionaries."""
    for key in path:
        structure = structure[structure.index(key, 1) + 1]
    return structure


def put(value, *path):
    def change(plain):
        parent = at(plain["learned"], *path[:-1])
        parent[parent.index(path[-1], 1) + 1] = value

    return change


def add(name, value):
    return lambda plain: at(plain["learned"], "values").extend([name, value])


HOSTILE = {
    "huge network": put(["tuple", 10**5, 10**5], "values", "network_settings_", "hidden"),
    "endless network": put(["tuple", *[2] * 50_000], "values", "network_settings_", "hidden"),
    "beyond memory": put(["tuple", 10**9, 10**9], "values", "network_settings_", "hidden"),
    "another width": put(["tuple", 1], "values", "network_settings_", "hidden"),
    "negative width": put(["tuple", -1], "values", "network_settings_", "hidden"),
    "a word for a width": put("wide", "values", "network_settings_", "hidden"),
    "a method overwritten": add("predict", 1),
    "a class overwritten": add("__class__", "int"),
    "a private name": add("_memory_", 1),
    "labels of a huge type": put("<U1000000000", "values", "classes_", "dtype"),
    "labels of no type": put("evil", "values", "classes_", "dtype"),
    "labels of no shape": put(["list", 7, 7], "values", "classes_", "shape"),
    "a setting removed": lambda plain: plain.pop("settings"),
    "settings that are a list": lambda plain: plain.update(settings=[1, 2]),
    "no learned values": lambda plain: plain.update(learned=None),
    "tensors that are a word": lambda plain: plain.update(tensors="x"),
    "a path for tensors": lambda plain: plain["tensors"].update(sha256="../../etc/passwd"),
    "a format that is a word": lambda plain: plain.update(format="1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions_are_refused_within_a_second(saved, tmp_path, name):
    folder = resealed(saved[0], HOSTILE[name], tmp_path / "hostile")
    start = time.perf_counter()
    with pytest.raises(GradusError):
        load(folder)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("which", ["estimator.json", "tensors"])
def test_a_pickle_bomb_is_refused_and_not_run(saved, tmp_path, which):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    folder = resealed(saved[0], lambda plain: None, tmp_path / "bomb")
    target = tensors_in(folder) if which == "tensors" else folder / which
    for content in (pickle.dumps(Bomb()), pickle.dumps({"x": Bomb()}, protocol=0)):
        target.write_bytes(content)
        with pytest.raises(DamagedFileError, match=target.name):
            load(folder)
    assert not (tmp_path / "exploded").exists()


# -- writing ------------------------------------------------------------------------------------------------------


def test_an_unfitted_estimator_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="unfitted MLPClassifier"):
        MLPClassifier().save(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_second_save_replaces_the_first(tmp_path):
    X, y = data_for(MLPRegressor)
    first, second = small(MLPRegressor).fit(X, y), small(MLPRegressor, hidden=(3,)).fit(X, y)
    first.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    second.save(tmp_path)
    assert np.array_equal(load(tmp_path).predict(X), second.predict(X))
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors", ".txt"]


def test_a_save_killed_at_any_moment_leaves_one_whole_estimator(tmp_path):
    X, y = data_for(MLPRegressor)
    old, new = (small(MLPRegressor, hidden=(64, 64), random_state=s).fit(X, y) for s in (1, 2))
    answers = [old.predict(X), new.predict(X)]
    folder = public_folder()
    seen = set()
    for delay in np.linspace(0, 0.02, 12):
        old.save(folder)
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    new.save(folder)
                    old.save(folder)
            finally:
                os._exit(0)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found = load(folder).predict(X)
        matches = [np.array_equal(found, answer) for answer in answers]
        assert sum(matches) == 1
        seen.add(matches.index(True))
    assert seen  # which of the two is a matter of luck; that it is one of them is not


def test_a_full_disk_leaves_the_estimator_of_before(tmp_path):
    X, y = data_for(MLPRegressor)
    old, new = small(MLPRegressor).fit(X, y), small(MLPRegressor, hidden=(200, 200)).fit(X, y)
    old.save(tmp_path)

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit_file_size(20_000)
        with pytest.raises(StorageError, match="file-size limit"):
            new.save(tmp_path)

    assert run(work) == 0
    assert np.array_equal(load(tmp_path).predict(X), old.predict(X))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    X, y = data_for(MLPRegressor)
    model = small(MLPRegressor).fit(X, y)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        model.save(tmp_path / "file")
    locked = public_folder()
    locked.chmod(0o555)

    def work():
        as_nobody()
        with pytest.raises(StorageError, match="no permission"):
            model.save(locked / "model")

    assert run(work) == 0
