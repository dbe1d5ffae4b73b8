"""Runs that were damaged, changed, locked or cut off from their disk."""

import contextlib
import io
import json
import os
import shutil
import time
from pathlib import Path

import pytest

import forks
from clumsy import choose, damage, gradus, refused, stopped, table, tree, wait_for
from gradus.cli.main import run
from gradus.core.lock import RunLock
from gradus.estimators.persistence import _seal

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("how", ["cut", "flipped", "missing", "empty", "deep", "folder"])
@pytest.mark.parametrize("pattern", ["model/estimator.json", "model/*.safetensors"])
def test_a_damaged_model_is_refused_by_name(pattern, how, finished, capsys):
    (path,) = finished.glob(pattern)
    damage(path, how)
    refused(capsys, "predict", "run", "a.csv", words=["run/model"])


@pytest.mark.parametrize("how", ["cut", "missing", "empty", "deep", "folder"])
def test_a_damaged_record_is_refused(how, finished, capsys):
    damage(finished / "run.json", how)
    for command in (["predict", "run", "a.csv"], ["resume", "run"], ["inspect", "run"]):
        refused(capsys, *command)


def test_a_run_without_its_model_or_its_choice(finished, capsys):
    shutil.rmtree(finished / "model")
    refused(capsys, "predict", "run", "a.csv", words=["run/model", "fit again"])
    choose(finished, "crystal ball")
    refused(capsys, "predict", "run", "a.csv", words=["run.json"])


def test_what_a_newer_version_wrote_is_refused(finished, capsys):
    path = finished / "model" / "estimator.json"
    plain = json.loads(path.read_text()) | {"format": 99, "gradus": "9.9"}
    path.write_text(json.dumps(plain | {"sha256": _seal(plain)}))
    refused(capsys, "predict", "run", "a.csv", words=["format 99, written by gradus 9.9", "upgrade"])
    record = json.loads((finished / "run.json").read_text()) | {"format": 99}
    (finished / "run.json").write_text(json.dumps(record))
    for command in (["predict", "run", "a.csv"], ["resume", "run"], ["inspect", "run"]):
        refused(capsys, *command, words=["format 99", "upgrade"])
    code, out, _ = gradus(capsys, "runs", ".")
    assert code == 0 and "damaged: format 99" in out


# ---- resuming ----


def test_a_stopped_run_goes_on_and_a_finished_one_has_nothing_to_do(finished, capsys):
    stopped(finished)
    refused(capsys, "predict", "run", "a.csv", words=["one that is stopped", "gradus resume run"])
    assert gradus(capsys, "resume", "run")[0] == 0
    after = (finished / "run.json").read_bytes()
    assert gradus(capsys, "resume", "run")[0] == 0
    assert (finished / "run.json").read_bytes() == after


def test_a_run_whose_data_changed_is_not_resumed(finished, capsys):
    stopped(finished)
    text = Path("a.csv").read_text()
    before = (finished / "run.json").read_bytes()
    Path("a.csv").write_text(text + "1,2,x,2024-01-15,pos\n")
    refused(capsys, "resume", "run", words=["a.csv as it was when the run began", "other contents"])
    Path("a.csv").write_text(text.replace(",y\n", ",why\n", 1))
    refused(capsys, "resume", "run", words=["a.csv as it was"])
    Path("a.csv").rename("b.csv")
    refused(capsys, "resume", "run", words=["does not exist", "did you mean 'b.csv'"])
    assert (finished / "run.json").read_bytes() == before


CONFIGS = {
    "a wrong value": (lambda s: s.replace("max_epochs: 1", "max_epochs: lots"), ["max_epochs", "'lots'"]),
    "a wrong seed": (lambda s: s.replace("\nseed: 0", "\nseed: -1"), ["4294967295", "-1"]),
    "an unknown name": (lambda s: s + "zork: 3\n", ["'zork'"]),
    "no YAML": (lambda s: s.replace("max_epochs: 1", "max_epochs: [1"), ["settings as YAML", "line"]),
    "code": (lambda s: '!!python/object/apply:os.system ["touch ran"]', ["settings as YAML"]),
    "half of it": (lambda s: s[: s.index("\nseed:")], ["none called seed"]),
    "nothing": (lambda s: "", ["none called source"]),
    "a bomb": (lambda s: s.replace("max_epochs: 1", "max_epochs: &a [&b [&c [x, x], *c, *c], *b, *b]"), ["nesting"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_damaged_settings_are_refused(case, finished, capsys):
    stopped(finished)
    change, words = CONFIGS[case]
    path = finished / "config.yaml"
    text = path.read_text()
    path.write_text(change(text))
    assert path.read_text() != text
    refused(capsys, "resume", "run", words=words)
    assert not Path("ran").exists()


def test_a_run_with_no_intact_checkpoint_left_is_refused_and_stays_as_it_is(finished, capsys):
    stopped(finished)
    before = (finished / "run.json").read_bytes()
    for path in finished.glob("checkpoints/main/*/state.safetensors"):
        damage(path, "flipped")
    refused(capsys, "resume", "run", words=["an intact checkpoint", "state.safetensors", "remove"], progress=True)
    assert (finished / "run.json").read_bytes() == before


def test_the_second_process_names_the_first(finished, capsys):
    stopped(finished)

    def hold():
        with RunLock(finished):
            (finished.parent / "held").touch()
            time.sleep(60)

    pid = forks.start(hold)
    try:
        wait_for(lambda: Path("held").exists())
        refused(capsys, "resume", "run", words=[f"process {pid} on "])
    finally:
        forks.kill(pid)
    assert gradus(capsys, "resume", "run")[0] == 0


# ---- disks ----


def test_a_full_disk_stops_the_run_and_leaves_no_temporaries(tmp_path, capsys):
    Path("a.csv").write_text(table())
    with forks.small_disk(tmp_path / "disk"):
        code, _, err = gradus(capsys, "fit", "a.csv", "--set", "hidden=600,600", "--out", "disk/run")
        assert code == 2
        assert err.splitlines()[-1].startswith("error: expected to write disk/run/") and "a full disk" in err
        record = json.loads(Path("disk/run/run.json").read_text())
        assert record["status"] == "failed" and "a full disk" in record["error"]
        assert not [p for p in Path("disk").rglob("*") if "tmp" in p.name]


def test_a_folder_without_rights():
    home = forks.public_folder()
    try:
        (home / "a.csv").write_text(table())
        (home / "secret.csv").write_text(table())
        (home / "secret.csv").chmod(0)
        (home / "locked").mkdir(mode=0o555)
        before = tree(home)

        def work():
            forks.as_nobody()
            os.chdir(home)
            for arguments, word in (
                (["fit", "a.csv", "--out", "locked/run"], "expected to write locked/run, got no permission"),
                (["fit", "secret.csv"], "without permission"),
            ):
                with contextlib.redirect_stderr(io.StringIO()) as said:
                    assert run(arguments) == 2
                assert word in said.getvalue() and said.getvalue().count("\n") == 1, said.getvalue()

        assert forks.run(work) == 0
        assert tree(home) == before
    finally:
        shutil.rmtree(home)
