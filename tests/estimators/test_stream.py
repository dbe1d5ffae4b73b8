"""Data larger than memory: the same weights as in memory, and a position that survives a stop."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, make_regression

from gradus.applications.vision import ImageClassifier
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive
from gradus.data.batches import TensorBatches
from gradus.data.streaming import ImageFolderBatches, ParquetBatches
from gradus.estimators.mlp import MLPClassifier, MLPRegressor
from gradus.training.observers import observed_by


def _weights(model):
    return {k: v.clone() for k, v in model.network_.state_dict().items()}


def _equal(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


def test_a_stream_of_the_same_batches_gives_the_weights_of_fit(digits):
    X, y = digits
    settings = {"hidden": (32,), "dropout": 0.2, "max_epochs": 3, "random_state": 3}
    whole = MLPClassifier(**settings).fit(X, y)
    seed = derive(derive(3, "main"), "order")
    tensors = {"inputs": torch.from_numpy(X), "targets": torch.from_numpy(y)}
    stream = TensorBatches(tensors, batch_size=64, seed=seed)
    assert _equal(_weights(MLPClassifier(**settings).fit_stream(stream, (X, y))), _weights(whole))


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, digits):
    X, y = digits
    path = tmp_path_factory.mktemp("rows") / "digits.parquet"
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(64)]).assign(digit=y)
    frame.to_parquet(path, row_group_size=200)
    return path


def _open(parquet):
    return ParquetBatches(parquet, target="digit", batch_size=50, seed=1, window=400)


def test_parquet_streams_learn(parquet, digits):
    X, y = digits
    model = MLPClassifier(max_epochs=8, learning_rate=0.003, random_state=0)
    model.fit_stream(_open(parquet), (X[:300], y[:300]), X[:300], y[:300])
    assert model.score(X[1000:], y[1000:]) > 0.95


def test_a_stream_stopped_in_mid_epoch_resumes_to_the_same_bits(parquet, digits, tmp_path):
    X, y = digits
    settings = {"hidden": (32,), "dropout": 0.2, "max_epochs": 3, "random_state": 0, "n_threads": 1}
    whole = MLPClassifier(**settings).fit_stream(_open(parquet), (X, y))
    settings |= {"checkpoint": str(tmp_path / "kept"), "checkpoint_every": 25}

    class Stop(Exception):
        pass

    def stop(trainer, event):
        if event == "tick" and trainer.step >= 50:
            raise Stop

    with pytest.raises(Stop), observed_by(stop):
        MLPClassifier(**settings).fit_stream(_open(parquet), (X, y))
    resumed = MLPClassifier(**settings).fit_stream(_open(parquet), (X, y))
    assert resumed.n_steps_ == whole.n_steps_ == 3 * 36
    assert _equal(_weights(resumed), _weights(whole))
    assert [r["loss"] for r in resumed.history_] == [r["loss"] for r in whole.history_]


def test_image_files_stream(tmp_path, digits):
    from PIL import Image

    X, y = digits
    files, labels = [], []
    for i in range(300):
        picture = (X[i].reshape(8, 8) * 255 / 16).astype(np.uint8)
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(files[-1])
        labels.append(int(y[i]))
    stream = ImageFolderBatches(files, labels, image_size=(8, 8), channels=1, batch_size=32)
    images = (X[:300].reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
    model = ImageClassifier(channels=(8, 16), features=32, max_epochs=12, learning_rate=0.01, random_state=0)
    model.fit_stream(stream, (images[:100], y[:100]))
    assert model.score(images, y[:300]) > 0.9


def test_regression_streams_keep_units_and_an_honest_variance(tmp_path):
    X, y = make_regression(600, 5, noise=5.0, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcde")).assign(y=1000 + y + 0.5)
    frame.to_parquet(tmp_path / "r.parquet")
    stream = ParquetBatches(tmp_path / "r.parquet", target="y", batch_size=32)
    rows = frame.drop(columns="y").to_numpy()
    model = MLPRegressor(hidden=(64,), max_epochs=30, learning_rate=0.01, random_state=0)
    model.fit_stream(stream, (rows[:200], frame["y"][:200]))
    assert model.score(rows, frame["y"]) > 0.95
    spread = model.predict_distribution(rows[:1]).stddev.item()
    assert 1.0 < spread < 40.0


def test_a_stream_unlike_the_sample_is_refused(parquet, digits):
    X, y = digits
    with pytest.raises(InputError, match="inputs of shape"):
        MLPClassifier().fit_stream(_open(parquet), (X[:, :10], y))
    with pytest.raises(InputError, match="batches with 'targets'"):
        MLPClassifier().fit_stream(ParquetBatches(parquet, columns=["p0"], batch_size=8), (X[:, :1], y))
    with pytest.raises(SettingError, match="for a stream"):
        MLPClassifier(early_stopping=True).fit_stream(_open(parquet), (X, y))


def test_settings_under_which_a_checkpoint_could_never_be_taken_up_are_refused(digits, tmp_path):
    X, y = digits
    with pytest.raises(SettingError, match="an integer random_state"):
        MLPClassifier(checkpoint=str(tmp_path)).fit(X, y)
    with pytest.raises(SettingError, match="warm_start=False"):
        MLPClassifier(checkpoint=str(tmp_path), random_state=0, warm_start=True).fit(X, y)


def test_a_refused_checkpoint_leaves_no_model_that_looks_fitted(digits, tmp_path):
    X, y = digits
    MLPClassifier(hidden=(8,), max_epochs=1, checkpoint=str(tmp_path), random_state=0).fit(X, y)
    other = MLPClassifier(hidden=(9,), max_epochs=1, checkpoint=str(tmp_path), random_state=0)
    with pytest.raises(SettingError, match="the same data and settings"):
        other.fit(X, y)
    assert not other.__sklearn_is_fitted__()
