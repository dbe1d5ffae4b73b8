"""Exhibits, and the latent page: what the page computes is what the decoder computes."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dragging import Browser
from gradus.core.errors import InputError
from gradus.data.named import load_named
from gradus.research.autoencoders import Autoencoder
from gradus.research.generative import GAN, VAE, MomentMatchingNetwork, SigmoidBeliefNet
from gradus.research.generative.latent_page import latent_page
from gradus.research.linear_factors import PCA, ProbabilisticPCA

QUICK = {"n_components": 2, "hidden": (12, 9), "max_epochs": 2, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images[:200], data.target[:200]


def opened(path, address=""):
    """Return the page as a browser leaves it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"{path.as_uri()}{address}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return found, [float(word) for word in re.search(r'id="numbers">([^<]*)<', found)[1].split()]


KINDS = {
    "bits": ({"binarize": "resample", "activation": "gelu"}, 1),
    "gaussian": ({"n_components": 3, "spread": "learned", "activation": "silu"}, 1),
    "pixels": ({"likelihood": "discretized_logistic", "levels": 17, "activation": "tanh"}, 1),
    "categories": ({"likelihood": "categorical", "activation": "elu"}, 6),
    "grid": ({"network": "conv", "channels": (4,)}, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_decodes_as_torch_does(kind, digits, tmp_path):
    settings, divisor = KINDS[kind]
    X, y = digits
    model = VAE(**{**QUICK, **settings}).fit(X // divisor)
    path = latent_page(model, (X // divisor, y), tmp_path / "page.html")
    code = [1.0, -0.5, 0.25][: model.n_components]  # on the grid, where that is what the page has
    page, numbers = opened(path, "#z=" + ",".join(map(str, code)))
    truth = model.inverse_transform([code]).ravel()
    np.testing.assert_allclose(numbers, truth, rtol=1e-4, atol=1e-4 * np.abs(truth).max())
    other = model.inverse_transform([[-c for c in code]]).ravel()
    assert kind == "categories" or not np.allclose(numbers, other, rtol=1e-4, atol=1e-4 * np.abs(truth).max())
    assert all(f">{digit}</span>" in page for digit in range(10))  # the legend
    text = path.read_text("utf-8")
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text) and "default-src 'none'" in text


def test_names_are_escaped_and_tables_shown(tmp_path):
    X, y = load_iris(as_frame=True, return_X_y=True)
    X = X.rename(columns={X.columns[0]: "</script><b>sepal"})
    model = VAE(**QUICK).fit(X)
    path = latent_page(model, (X, y.map(lambda i: f"<i>{i}")), tmp_path / "iris.html")
    page, numbers = opened(path)
    np.testing.assert_allclose(numbers, model.inverse_transform(np.zeros((1, 2)))[0], rtol=1e-5)
    assert html.escape("</script><b>sepal") in page and html.escape("<i>0") in page
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"))[1]
    assert json.loads(content)["names"][0] == "</script><b>sepal"


def test_what_cannot_be_shown_is_refused(digits, tmp_path):
    X, _ = digits
    with pytest.raises(InputError, match="encodes and decodes"):
        latent_page(GAN(**QUICK).fit(X), X, tmp_path / "x.html")
    with pytest.raises(InputError, match="two numbers or more"):
        latent_page(VAE(**{**QUICK, "n_components": 1}).fit(X), X, tmp_path / "x.html")
    with pytest.raises(InputError, match="sent as a grid"):
        latent_page(VAE(**{**QUICK, "n_components": 3}, network="conv", channels=(4,)).fit(X), X, tmp_path / "x.html")


def test_exhibits_of_pictures(digits):
    X, y = digits
    found = {e.title: e for e in VAE(**QUICK).fit(X).exhibits((X, y))}
    expected = {"Learning curves", "Samples", "Reconstructions", "Latent map", "Decodings over the latent map"}
    assert expected | {"Nearest rows"} == set(found)
    assert len(found["Samples"].pictures) == 40 and len(found["Reconstructions"].pictures) == 24
    assert len(found["Latent map"].figure["data"]) == 10
    for model in (GAN(**QUICK), MomentMatchingNetwork(**QUICK), SigmoidBeliefNet(hidden=(8,), max_epochs=1)):
        titles = [e.title for e in model.fit(X).exhibits(X)]
        assert {"Samples", "Nearest rows"} <= set(titles)


def test_exhibits_of_tables_name_columns_and_find_neighbours():
    data = load_named("iris")
    X = data.X.select_dtypes("number")
    model = VAE(**QUICK).fit(X)
    found = {e.title: e for e in model.exhibits((X, data.y))}
    assert list(found["Samples"].table.columns) == [str(name) for name in X.columns]
    near = found["Nearest rows"].table
    apart = np.linalg.norm(near.iloc[:, :4].to_numpy() - near.iloc[:, 4:8].to_numpy(), axis=1)
    np.testing.assert_allclose(apart, near["distance"], atol=1e-3)


OTHERS = {
    "autoencoder of tables": (Autoencoder, {"hidden": (7,), "activation": "tanh"}, False),
    "autoencoder of pixels": (Autoencoder, {"hidden": (9,), "tied": True}, True),
    "autoencoder by convolutions": (Autoencoder, {"network": "conv", "channels": (4,), "n_components": 2}, True),
}


@pytest.mark.parametrize("kind", [*OTHERS, "linear behind a scaling", "linear"])
def test_decoders_without_a_prior(kind, digits, tmp_path):
    X = digits[0]
    if kind in OTHERS:
        cls, settings, pictures = OTHERS[kind]
        X = X if pictures else load_iris().data
        model = cls(**{"n_components": 3, "max_epochs": 3, "random_state": 0, **settings}).fit(X)
    elif kind == "linear":
        model = PCA(n_components=3).fit(X)
    else:
        X = load_iris().data
        model = make_pipeline(StandardScaler(), ProbabilisticPCA(n_components=3)).fit(X)
    names = None if X.ndim > 2 else list("abcd")
    path = latent_page(model, X, tmp_path / "page.html", name="a name <of it>", columns=names)
    codes = model.transform(X)
    code = np.median(codes, 0)
    if kind != "autoencoder by convolutions":  # of a grid the page decodes between the points
        code = np.round(code + 0.7 * codes.std(0), 3)
        page, numbers = opened(path, "#z=" + ",".join(map(str, code)))
    else:
        page, numbers = opened(path)
    truth = model.inverse_transform([code]).ravel()
    near = 1e-4 if kind != "autoencoder by convolutions" else 0.1
    np.testing.assert_allclose(numbers, truth, rtol=near, atol=near * np.abs(truth).max())
    assert html.escape("a name <of it>") in page and (names is None or "<td>c</td>" in page)


def test_a_hand_drags_the_ring_and_clicks_a_row(digits, tmp_path):
    X, y = digits
    model = VAE(**{**QUICK, "n_components": 3}).fit(X)
    path = latent_page(model, (X, y), tmp_path / "page.html")
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(path.as_uri())
        box = json.loads(browser.ask("JSON.stringify(map.getBoundingClientRect())"))
        across, up = browser.ask("across"), browser.ask("up")

        def place(*point):
            x, y = (browser.ask(f"{way}({value})") for way, value in zip(("px", "py"), point, strict=True))
            return box["left"] + x * box["width"] / 560, box["top"] + y * box["height"] / 560

        def state():
            numbers = [float(word) for word in browser.ask("at('numbers').textContent").split()]
            return np.array(browser.ask("code")), numbers

        assert state()[0].tolist() == [0, 0, 0]
        browser.drag(place(0, 0), place(0.5, 0.5), place(1.5, -1.0))
        code, numbers = state()
        rest = ({0, 1, 2} - {across, up}).pop()
        np.testing.assert_allclose(code[[across, up]], [1.5, -1.0], atol=0.03)
        assert code[rest] == 0  # what was not dragged stays
        truth = model.inverse_transform([code]).ravel()
        np.testing.assert_allclose(numbers, truth, rtol=1e-4, atol=1e-4 * np.abs(truth).max())
        browser.mouse("mouseMoved", *place(-1, 1))
        assert np.array_equal(state()[0], code)  # let go
        row = model.transform(X)[17]
        browser.drag(place(row[across], row[up]))
        code, numbers = state()
        assert np.abs(model.transform(X)[:, rest] - code[rest]).min() < 1e-6 and code[rest] != 0
        assert browser.complaints() == [] and browser.requests() == [path.as_uri()]
    finally:
        browser.close()
