"""Named sets: embedded, found on disk, or downloaded from a real server; damaged and unknown ones refused."""

import gzip
import hashlib
import http.server
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn import datasets

import gradus.data.download as download
from gradus.core.errors import DataError, GradusError
from gradus.data.download import cache_folder, fetch
from gradus.data.idx import parse_idx, read_idx
from gradus.data.named import NAMED, RemoteFile, load_named, load_remote
from gradus.data.reading import read


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def test_embedded_sets_hold_what_scikit_learn_holds():
    digits = load_named("digits")
    np.testing.assert_array_equal(digits.X[..., 0], datasets.load_digits().images)
    np.testing.assert_array_equal(digits.y, datasets.load_digits().target)
    assert digits.scale == digits.X.max() == 16
    iris = load_named("iris")
    assert list(iris.y[:2]) == ["setosa"] * 2 and iris.X.shape == (150, 4)
    bunch = datasets.load_breast_cancer()
    cancer = load_named("breast_cancer")
    assert [str(bunch.target_names[t]) for t in bunch.target] == list(cancer.y)
    np.testing.assert_array_equal(load_named("wine").X.to_numpy(), datasets.load_wine().data)
    np.testing.assert_array_equal(load_named("diabetes").y, datasets.load_diabetes().target)


def test_reading_a_named_table_cleans_and_takes_options():
    data = read("iris", target="petal width (cm)", columns=["species"])
    assert list(data.X.columns) == ["species"] and data.y.dtype == float
    with pytest.raises(DataError, match="the target 'digit'"):
        read("digits", target="digits")
    with pytest.raises(DataError, match="did you mean 'fashion_mnist'"):
        load_named("fashionmnist")


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_sets_are_found_on_disk(data_home, name, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path))
    monkeypatch.setenv("GRADUS_DATA", str(data_home))
    data = load_named(name)
    assert data.X.shape == (60_000, 28, 28, 1) and data.test[0].shape == (10_000, 28, 28, 1)
    assert data.X.mean() == pytest.approx({"mnist": 33.3184, "fashion_mnist": 72.940}[name], abs=1e-3)
    assert data.y[0] == {"mnist": 5, "fashion_mnist": "Ankle boot"}[name]
    assert not list(tmp_path.iterdir())


def test_a_set_in_the_data_folder_must_have_its_parts(tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((2, 28, 28), np.uint8), y_train=np.array([0, 1]))
    with pytest.raises(DataError, match="no x_test"):
        load_named("mnist", home=tmp_path)


# The server: a real one, on this machine, that can cut connections and forget what ranges are.


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.cuts, self.ranges, self.status = {}, [], [], True, None
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        if server.status:
            return self.send_error(server.status)
        data = server.files.get(self.path.lstrip("/"))
        if data is None:
            return self.send_error(404)
        first = 0
        if asked and server.ranges:
            first = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if first >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        stop = server.cuts.pop(0) if server.cuts else len(data)
        self.wfile.write(data[first:stop])
        self.wfile.flush()
        if stop < len(data):
            self.connection.close()
        return None


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


DATA = np.random.default_rng(0).bytes(300_000)
SUM = hashlib.md5(DATA).hexdigest()


def test_a_download_is_whole_and_is_not_repeated(server, tmp_path):
    server.files["a"] = DATA
    path, seen = tmp_path / "deep" / "a", []
    fetch(server.address + "a", path, checksum=SUM, progress=lambda *args: seen.append(args))
    assert path.read_bytes() == DATA
    assert seen[-1] == ("a", len(DATA), len(DATA)) and len(seen) > 2
    fetch(server.address + "a", path, checksum=SUM)
    assert len(server.requests) == 1
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == ["a"]


def test_cut_connections_are_resumed_where_they_were_cut(server, tmp_path):
    server.files["a"] = DATA
    server.cuts = [100_000, 200_001]
    fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.requests == [("/a", None), ("/a", "bytes=100000-"), ("/a", "bytes=200001-")]


def test_what_arrived_is_kept_for_the_next_process(server, tmp_path):
    server.files["a"] = DATA
    server.cuts = [50_000 + 1000 * i for i in range(download.ATTEMPTS)]
    with pytest.raises(DataError, match="what arrived is kept"):
        fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert not (tmp_path / "a").exists() and (tmp_path / "a.part").stat().st_size == 54_000
    server.requests.clear()
    fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert server.requests == [("/a", "bytes=54000-")] and (tmp_path / "a").read_bytes() == DATA


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.files["a"], server.ranges, server.cuts = DATA, False, [100_000]
    fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize("piece", [DATA, DATA + b"x", b"other" * 10, b"y" * len(DATA)])
def test_a_piece_that_is_whole_too_long_or_another_file_does_no_harm(server, tmp_path, piece):
    server.files["a"] = DATA
    (tmp_path / "a.part").write_bytes(piece)
    fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_wrong_checksum_is_refused_and_leaves_nothing(server, tmp_path):
    server.files["a"] = DATA[:-1] + b"?"
    with pytest.raises(DataError, match=f"MD5 {SUM}"):
        fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == []


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    server.files["a"] = DATA
    (tmp_path / "a").write_bytes(DATA[:1000])
    fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert (tmp_path / "a").read_bytes() == DATA


def test_what_is_not_there_is_said_in_one_sentence(server, tmp_path):
    with pytest.raises(DataError, match=r"HTTP 404 \(Not Found\)"):
        fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert len(server.requests) == 1
    server.status = 503
    with pytest.raises(DataError, match="HTTP 503"):
        fetch(server.address + "a", tmp_path / "a", checksum=SUM)
    assert len(server.requests) == 1 + download.ATTEMPTS
    with pytest.raises(DataError, match="http or https"):
        fetch("file:///etc/passwd", tmp_path / "a", checksum=SUM)


def test_more_than_expected_is_refused_before_it_is_stored(server, tmp_path):
    server.files["a"] = DATA
    with pytest.raises(DataError, match="at most"):
        fetch(server.address + "a", tmp_path / "a", checksum=SUM, max_bytes=100_000)
    assert not (tmp_path / "a.part").exists()


def test_two_at_once_download_once(server, tmp_path):
    server.files["a"] = DATA
    threads = [
        threading.Thread(target=fetch, args=(server.address + "a", tmp_path / "a"), kwargs={"checksum": SUM})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() == DATA and len(server.requests) == 1


def tiny(server):
    """The MNIST entry with files of its own on the server."""
    rng = np.random.default_rng(1)
    arrays = {
        "x_train": rng.integers(0, 256, (30, 28, 28)),
        "y_train": rng.integers(0, 10, 30),
        "x_test": rng.integers(0, 256, (8, 28, 28)),
        "y_test": rng.integers(0, 10, 8),
    }
    files = []
    for part, array in arrays.items():
        data = gzip.compress(idx(array))
        server.files[f"{part}.gz"] = data
        files.append(RemoteFile(part, f"{part}.gz", hashlib.md5(data).hexdigest()))
    return replace(NAMED["mnist"], home=server.address, files=tuple(files)), arrays


def test_a_set_is_downloaded_once_then_read_from_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.delenv("GRADUS_DATA", raising=False)
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))
    entry, arrays = tiny(server)
    data = load_remote(entry)
    np.testing.assert_array_equal(data.X[..., 0], arrays["x_train"])
    np.testing.assert_array_equal(data.test[1], arrays["y_test"])
    assert data.origin == server.address and len(server.requests) == 4
    again = load_remote(entry)
    assert again.fingerprint == data.fingerprint and len(server.requests) == 4


def test_without_a_network_the_error_names_the_other_way(server, tmp_path, monkeypatch):
    monkeypatch.delenv("GRADUS_DATA", raising=False)
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path / "cache"))
    entry, _ = tiny(server)
    closed = replace(entry, home="http://127.0.0.1:9/")
    with pytest.raises(DataError, match="GRADUS_DATA") as caught:
        load_remote(closed)
    assert "mnist.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADUS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GRADUS_CACHE")
    monkeypatch.setattr(download.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gradus"


def test_idx_gives_the_array_and_refuses_every_other_header(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    data = idx(array)
    np.testing.assert_array_equal(parse_idx(data), array)
    bad = [b"", data[:3], data[:10], data[:-1], data + b"\0", b"\1" + data[1:], data[:2] + b"\x09" + data[3:]]
    bad += [
        data[:3] + b"\x09" + data[4:],
        data[:4] + b"\xff\xff\xff\xff" + data[8:],
        data[:3] + b"\0" + data[4:],
    ]
    for wrong in bad:
        with pytest.raises(GradusError):
            parse_idx(wrong)
    packed = gzip.compress(data)
    (tmp_path / "a.gz").write_bytes(packed)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), array)
    (tmp_path / "a.gz").write_bytes(packed[:-5])
    with pytest.raises(DataError, match="damaged"):
        read_idx(tmp_path / "a.gz")


def test_every_remote_entry_has_its_four_parts_and_a_checksum_each():
    for entry in NAMED.values():
        if entry.files:
            assert [f.part for f in entry.files] == ["x_train", "y_train", "x_test", "y_test"]
            assert all(re.fullmatch("[0-9a-f]{32}", f.md5) for f in entry.files)
