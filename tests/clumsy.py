"""What the tests of misuse share: a command, the contract of an error, small data, damage."""

import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from gradus.cli.main import run

QUICK = ("--set", "max_epochs=1", "--set", "hidden=4", "--set", "n_threads=1")


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def gradus(capsys, *arguments):
    capsys.readouterr()
    code = run([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "Warning" not in err
    return code, out, err


def refused(capsys, *arguments, words=(), progress=False):
    """Check the contract of an error, and that nothing below the working folder has changed."""
    before = tree(Path())
    code, out, err = gradus(capsys, *arguments)
    assert (code, out) == (2, "")
    *said, sentence = err.splitlines()
    assert progress or not said
    assert sentence.startswith("error: expected ") and ", got " in sentence and "; " in sentence
    assert "  " not in sentence and len(sentence) < 500
    for word in words:
        assert word in sentence
    assert tree(Path()) == before
    return sentence


def table(n=40, **columns):
    """Return a small table of two classes as CSV; a column given as None is left out."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    frame = {"a": a, "b": np.arange(n) % 7, "c": np.array(["x", "y", "z"])[np.arange(n) % 3]}
    frame |= {"y": np.where(a > 0, "pos", "neg")} | columns
    return pd.DataFrame({k: v for k, v in frame.items() if v is not None}).to_csv(index=False)


def repeated(*values, n=40):
    return [values[i % len(values)] for i in range(n)]


def pictures(folder, n=6, size=(6, 5), classes=("cat", "dog")):
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = (rng.random((*size, 3)) * 100 + 100 * k).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def bomb_png(path):
    """Write a picture of 900 million pixels in a hundred bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


def choose(folder, rung):
    """Let another rung be the winner: the smallest table has its own opinion of which is best."""
    record = json.loads((folder / "run.json").read_text())
    record["chosen"] = rung
    (folder / "run.json").write_text(json.dumps(record))


def stopped(folder):
    record = json.loads((folder / "run.json").read_text())
    record |= {"status": "stopped", "chosen": None}
    (folder / "run.json").write_text(json.dumps(record))


def damage(path, how):
    data = path.read_bytes()
    middle = len(data) // 2
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[:middle], "flipped": flipped, "empty": b"", "deep": b"[" * 100_000}[how])


def wait_for(happened, seconds=60.0):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
