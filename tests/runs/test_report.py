"""The report and the card: nothing executes, nothing calls home, all is there; then a browser looks."""

import base64
import gzip
import http.server
import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits

from gradus.estimators.exhibits import (
    Exhibit,
    Picture,
    calibration,
    confusion_matrix,
    example_pictures,
    feature_summary,
    learning_curves,
    per_class,
    residuals,
    worst_errors_pictures,
    worst_errors_rows,
)
from gradus.practice.baselines import baselines
from gradus.practice.contests import Labelled
from gradus.practice.ladder import Rung, climb
from gradus.practice.metrics import Prediction
from gradus.runs.card import render_card, write_card
from gradus.runs.record import DataRecord, RunRecord, SettingRecord, SplitRecord
from gradus.runs.report import render_report, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


class Broken(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise MemoryError("no room")


@pytest.fixture(scope="module")
def digits_run():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8, 1).astype(np.uint8)
    train, valid, test = ((X[i], y[i]) for i in (slice(0, 1000), slice(1000, 1300), slice(1300, None)))
    rungs = [
        *baselines("classification", "images", 1000, 64),
        Rung("broken network", "network", Broken(), "fails"),
    ]
    ladder = climb(rungs, Labelled(train, valid, test, "accuracy"))
    said = ladder.answers[ladder.chosen]
    record = RunRecord(
        name="digits-1",
        status="finished",
        command="gradus fit digits",
        task="classification",
        target="digit",
        seed=0,
        threads=1,
        seconds=3.2,
        versions={"python": "3.12"},
        estimator="ImageClassifier",
        parameters=1234,
        data=DataRecord(
            name="digits",
            kind="images",
            rows=1797,
            shape=[8, 8, 1],
            classes=[str(i) for i in range(10)],
            notes=["duplicates: kept on one side"],
            fingerprint="f00d" * 16,
            split=SplitRecord(train=1000, valid=300, test=497, how="by order"),
        ),
        settings=[
            SettingRecord(name="hidden", value=[64], default=[128], meaning="units", unit=None),
            SettingRecord(name="patience", value=5, default=5, meaning="wait", unit="epochs"),
        ],
        next_commands=["gradus predict runs/digits-1 new.npz"],
    ).climbed(ladder)
    history = [{"epoch": i, "loss": 2.0 / (i + 1), "valid_loss": 2.2 / (i + 1)} for i in range(10)]
    exhibits = [
        example_pictures(*train),
        learning_curves(history, best_epoch=9),
        confusion_matrix(test[1], said.labels, said.classes),
        per_class(test[1], said.labels, said.classes),
        calibration(test[1], said.probabilities, said.classes),
        worst_errors_pictures(*test, said),
    ]
    return record, exhibits


@pytest.fixture(scope="module")
def hostile_run():
    """Every name a stranger can choose is markup."""
    names = np.array([EVIL, "b"])
    y = names[np.arange(40) % 2]
    q = np.random.default_rng(0).dirichlet([1, 1], 40)
    said = Prediction(labels=names[q.argmax(1)], probabilities=q, classes=names)
    frame = pd.DataFrame({EVIL: np.arange(40), "text": [EVIL] * 40})
    record = RunRecord(
        name=EVIL,
        status="failed",
        error=EVIL,
        command=EVIL,
        task="classification",
        target=EVIL,
        chosen=EVIL,
        verdict=EVIL,
        ties=[EVIL],
        next_commands=[EVIL],
        estimator=EVIL,
        versions={EVIL: EVIL},
        data=DataRecord(
            name=EVIL,
            kind="table",
            rows=40,
            columns=2,
            classes=[EVIL, "b"],
            origin=EVIL,
            notes=[EVIL],
            fingerprint=EVIL,
            split=SplitRecord(train=1, valid=1, test=1, how=EVIL),
        ),
        ladder=[{"name": EVIL, "kind": "network", "why": EVIL, "status": "failed", "error": EVIL, "notes": [EVIL]}],
        settings=[SettingRecord(name=EVIL, value=EVIL, default="x", meaning=EVIL, unit=EVIL)],
    )
    exhibits = [
        Exhibit(EVIL, EVIL, "data", None, frame, (Picture.of(np.eye(3), EVIL),)),
        feature_summary(frame),
        learning_curves([{"epoch": 0, EVIL: 1.0}]),
        confusion_matrix(y, said.labels, names),
        calibration(y, q, names),
        residuals([1.0, 2.0], [1.0, 3.0], EVIL),
        worst_errors_rows(frame, y, said),
    ]
    return record, exhibits


class Reader(HTMLParser):
    """Collect what a browser would act on."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.handlers, self.scripts, self.inside = [], [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = dict(attrs) if tag == "script" else None
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "srcset"):
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        if self.inside is not None:
            self.scripts.append((self.inside, data))
            self.inside = None


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_names_from_strangers_stay_text(hostile_run):
    page = render_report(*hostile_run)
    reader = read(page)
    assert reader.handlers == []
    assert reader.tags.count("script") == 3  # figures, Plotly, and the few lines that draw
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    assert "&lt;/script&gt;&lt;script&gt;" in page
    figures = next(text for attrs, text in reader.scripts if attrs.get("id") == "figures")
    assert len(json.loads(figures)) == 4 and "<" not in figures


def test_the_card_keeps_names_from_strangers_text(hostile_run, tmp_path):
    text = render_card(hostile_run[0])
    outside_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    assert "<script" not in outside_code and "<img" not in outside_code
    write_card(hostile_run[0], tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == text


def test_the_page_carries_all_it_needs(digits_run, tmp_path):
    record, exhibits = digits_run
    write_report(record, exhibits, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    reader = read(page)
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    assert "default-src 'none'" in page
    packed = next(text for attrs, text in reader.scripts if attrs.get("id") == "plotly")
    assert "plotly.js" in gzip.decompress(base64.b64decode(packed))[:500].decode()
    assert len(page) < 2_500_000  # Plotly alone is 4.8 MB unpacked
    assert render_report(record, exhibits) == page  # the same run gives the same bytes
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<main>")[1].split("</main>")[0]))
    shown = record.rung(record.chosen).test
    for piece in (
        "most frequent class",
        "failed: MemoryError: no room",
        f"{shown.value:.3f} ( {shown.low:.3f} to",
        "Wilson",
        "duplicates: kept on one side",
        "Confusion matrix",
        "Class by class",
        "Calibration",
        "Worst errors",
        "hidden",
        "64",
        "128",
        "gradus fit digits",
        "Seed 0",
        "1,234 trained parameters",
        "python",
    ):
        assert piece.replace("( ", "(") in text.replace("( ", "("), piece
    assert record.verdict in page


def test_tables_are_accessible_and_every_figure_has_one(digits_run):
    page = render_report(*digits_run)
    tables = re.findall(r"<table.*?</table>", page, flags=re.S)
    assert len(tables) >= 6
    assert all("<caption" in t and 'scope="col"' in t and 'scope="row"' in t for t in tables)
    articles = [a for a in re.findall(r"<article>.*?</article>", page, flags=re.S) if "data-figure" in a]
    assert len(articles) == 3 and all("<table" in a and 'aria-label="' in a for a in articles)
    assert all('alt=""' not in img for img in re.findall(r"<img[^>]*>", page))


def test_whiskers_lie_where_the_scores_do(digits_run):
    record, exhibits = digits_run
    page = render_report(record, exhibits)
    dots = [float(v) for v in re.findall(r'<u style="left:([\d.]+)%', page)]
    bars = [(float(a), float(b)) for a, b in re.findall(r'<b style="left:([\d.]+)%;width:([\d.]+)%', page)]
    scores = [r.test for r in record.ladder if r.test]
    assert len(dots) == len(bars) == len(scores) == 2
    per_point = (dots[1] - dots[0]) / (scores[1].value - scores[0].value)
    for (left, width), dot, score in zip(bars, dots, scores, strict=True):
        assert dot - left == pytest.approx(per_point * (score.value - score.low), abs=0.05)
        assert width == pytest.approx(per_point * (score.high - score.low), abs=0.05)


def test_a_run_that_was_stopped_says_so_and_an_empty_one_is_still_a_page():
    bare = RunRecord(name="bare", task="regression", status="stopped")
    page = render_report(bare, [])
    assert "This run is <strong>stopped</strong>" in page and 'id="plotly"' not in page and len(page) < 20_000
    assert "**stopped**" in render_card(bare)


def test_the_card_says_what_matters(digits_run):
    record, _ = digits_run
    text = render_card(record)
    assert text.startswith("# digits-1\n") and record.verdict in text
    row = next(line for line in text.splitlines() if line.startswith("| logistic regression on pixels (chosen)"))
    assert f"{record.rung(record.chosen).test.value:.3f}" in row
    for piece in (
        "## Intended use",
        "## Limits",
        "gradus predict runs/digits-1 new.npz",
        "failed: MemoryError",
        "1,000 to learn from, 300 to choose by, 497 to test on",
        "it did not win here",
    ):
        assert piece in text
    assert "\n\n\n" not in text and all(line == line.rstrip() for line in text.splitlines())


# ---- a browser ----


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return a function that opens a page and gives back its DOM and what it said on the console."""
    program = next((p for p in map(shutil.which, BROWSERS) if p), None)
    if program is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")

    def look(page, *more):
        profile = tmp_path_factory.mktemp("profile")
        done = subprocess.run(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-sync",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
                f"--user-data-dir={profile}",
                "--enable-logging=stderr",
                "--virtual-time-budget=10000",
                "--window-size=1200,2000",
                *more,
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console

    return look


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_every_figure_without_a_word_on_the_console(browse, digits_run, tmp_path, scheme):
    write_report(*digits_run, tmp_path / "report.html")
    more = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    dom, console = browse(tmp_path / "report.html", *more)
    assert console == []
    figures = re.findall(r'data-figure="\d+".*?</article>', dom, flags=re.S)
    assert len(figures) == 3
    assert all('class="main-svg"' in figure for figure in figures)
    assert dom.count('class="bars"') or 'class="point"' in dom  # marks, not only axes
    colour = "#7fb8dd" if scheme == "dark" else "#1f5f8b"
    rgb = ", ".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    assert f"stroke: rgb({rgb})" in dom


def test_a_browser_runs_nothing_of_a_hostile_name_and_asks_no_server(browse, hostile_run, tmp_path):
    asked = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        record, exhibits = hostile_run
        link = f"http://127.0.0.1:{server.server_port}/"
        lure = f'<img src="{link}img"><a href="{link}a">x</a>'
        table = pd.DataFrame({lure: [lure]})
        figure = {
            "data": [{"type": "bar", "x": [lure], "y": [1]}],
            "layout": {"images": [{"source": f"{link}plotly.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}]},
        }
        write_report(record, [*exhibits, Exhibit(lure, lure, "answers", figure, table)], tmp_path / "report.html")
        dom, console = browse(tmp_path / "report.html")
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []
    assert "<title>&lt;/script&gt;" in dom  # the script that would change it did not run
    assert dom.count('class="main-svg"') >= 5
    # the one picture a figure asked for was refused by the page's own policy
    assert all("Content Security Policy" in line and "plotly.png" in line for line in console)
