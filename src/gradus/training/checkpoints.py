"""Checkpoints that are complete or absent, and known to be what was written.

``step_N/`` holds, for each named part, ``NAME.safetensors`` (its tensors) and ``NAME.json`` (the tree they
hang in), and ``manifest.json`` with the size and SHA-256 of each file. The folder is written under a
temporary name, forced to the disk, and renamed; older checkpoints are removed only afterwards. So a process
killed at any moment leaves its last complete checkpoint, and a byte flipped on the disk is noticed when it
is read: the safetensors format itself has no checksum, and would load it silently.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradus.core.errors import DamagedFileError, DataError, InputError, SettingError, StorageError
from gradus.core.storage import (
    MAX_JSON_BYTES,
    Written,
    read_bytes,
    storage_errors,
    sweep,
    sync_file,
    sync_folder,
    temporary_beside,
    write_file,
)
from gradus.core.strict_json import dump_json, parse_json
from gradus.core.tensors import encode_tensors, read_tensors
from gradus.core.trees import flatten, unflatten

__all__ = ["FORMAT_VERSION", "CheckpointStore", "Loaded"]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MEND = "restore it from a copy, or use another checkpoint"

_STEP = re.compile(r"step_(0|[1-9]\d{0,17})(\.replaced)?")
_PART = re.compile(r"[a-z][a-z0-9_]{0,63}")
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint as read; ``skipped`` names the damaged files of newer ones that were passed over."""

    step: int
    score: float | None
    parts: dict[str, Any]
    skipped: list[str]


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    step: int
    score: float | None
    files: dict[str, Written]


class CheckpointStore:
    """The checkpoints of one run.

    One process writes (see `gradus.core.lock.RunLock`); any number may read meanwhile.

    Parameters
    ----------
    folder : str or Path
        Where the ``step_N`` folders lie; made at the first save.
    keep_last : int
        Keep this many of the highest steps, 1 or more.
    keep_best : int
        Keep also this many of the highest scores, 0 or more.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = CheckpointStore(folder, keep_last=1, keep_best=1)
    ...     for step, score in [(10, 0.8), (20, 0.9), (30, 0.7)]:
    ...         _ = store.save(step, {"state": {"step": step, "w": torch.ones(2)}}, score=score)
    ...     store.steps(), store.best(), store.load().parts
    ([20, 30], 20, {'state': {'step': 30, 'w': tensor([1., 1.])}})
    """

    def __init__(self, folder: str | Path, keep_last: int = 2, keep_best: int = 1) -> None:
        if keep_last < 1:
            raise SettingError("keep_last to be 1 or more", str(keep_last), "set for example keep_last=2")
        if keep_best < 0:
            raise SettingError("keep_best to be 0 or more", str(keep_best), "set for example keep_best=1")
        self.folder, self.keep_last, self.keep_best = Path(folder), keep_last, keep_best
        sweep(self.folder)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending; only loading tells whether it is intact."""
        return sorted({step for step, _ in self._folders()})

    def best(self) -> int | None:
        """Return the step of the highest score (the earliest of equals), or ``None`` without scores."""
        ranked = self._by_score()
        return ranked[0] if ranked else None

    def save(self, step: int, parts: Mapping[str, Any], score: float | int | None = None) -> Path:
        """Store a checkpoint and remove those no longer kept.

        Parameters
        ----------
        step : int
            Number of steps taken, 0 or more. A checkpoint of the same step is replaced.
        parts : mapping of str to tree
            What to store under each name (lower-case letters, digits and underscores): trees as in
            `gradus.core.trees.flatten`.
        score : float, optional
            How good the model is, higher is better; NaN counts as no score.

        Returns
        -------
        Path
            The checkpoint's folder.

        Raises
        ------
        InputError
            If a part holds something that cannot be stored; nothing is written.
        StorageError
            If the disk refuses; every earlier checkpoint is intact.
        """
        if not 0 <= step < 10**18:
            raise InputError("a step from 0 on", str(step), "count steps upwards from 0")
        for name in parts:
            if not _PART.fullmatch(name) or f"{name}.json" == MANIFEST:
                raise InputError(
                    "part names of lower-case letters, digits and _, other than manifest",
                    repr(name),
                    "rename the part",
                )
        content = {name: flatten(tree) for name, tree in parts.items()}
        place = self.folder / f"step_{step}"
        with storage_errors(place):
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary_beside(place) as temporary:
                temporary.mkdir()
                self._write(temporary, step, content, score)
                self._install(temporary, place)
        self._prune(step)
        return place

    def latest(self) -> Loaded | None:
        """Load the newest intact checkpoint, or return ``None`` where nothing was ever saved.

        Raises
        ------
        DamagedFileError
            If there are checkpoints and none is intact; the message names the damaged files.
        """
        return self.load() if self.steps() else None

    def load(self, step: int | None = None) -> Loaded:
        """Load one checkpoint, by default the newest that is intact.

        Parameters
        ----------
        step : int, optional
            Load this step and no other.

        Raises
        ------
        DamagedFileError
            If no checkpoint asked for is intact; the message names the damaged files.
        DataError
            If there is none, or it was written by a newer version.
        """
        skipped: list[str] = []
        for _ in range(3):  # the writer may remove the last checkpoint we listed while we read it: list again
            folders = [f for f in self._folders() if step is None or f[0] == step]
            for _, folder in folders:
                before = _identity(folder)
                try:
                    manifest, parts = _read(folder)
                except DamagedFileError as error:
                    if before is not None and _identity(folder) == before:  # not replaced while we read it
                        _log.warning("passed over a damaged checkpoint: %s", error)
                        skipped.append(f"{error.expected}: {error.received}")
                    continue
                return Loaded(step=manifest.step, score=manifest.score, parts=parts, skipped=skipped)
            if skipped or not folders:
                break
        if skipped:
            raise DamagedFileError(f"an intact checkpoint in {self.folder}", "; ".join(skipped), MEND)
        there = ", ".join(map(str, self.steps())) or "none"
        wanted = "a checkpoint" if step is None else f"a checkpoint of step {step}"
        raise DataError(f"{wanted} in {self.folder}", f"{there}", "train first, or name another run or step")

    def _folders(self) -> list[tuple[int, Path]]:
        """Return steps and folders, newest first; one set aside for its successor comes after it."""
        found = []
        with storage_errors(self.folder, "to read"), suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if match := _STEP.fullmatch(path.name):
                    found.append((int(match[1]), match[2] is None, path))
        return [(step, path) for step, _, path in sorted(found, reverse=True)]

    def _by_score(self) -> list[int]:
        scores: dict[int, float] = {}
        for step, folder in self._folders():
            with suppress(StorageError, DataError):  # a damaged one has no score; loading it tells why
                score = _read_manifest(folder).score
                if score is not None and not math.isnan(score):
                    scores.setdefault(step, score)
        return sorted(scores, key=lambda step: (-scores[step], step))

    def _write(self, folder: Path, step: int, content: Mapping[str, tuple[dict[str, Any], Any]], score: Any) -> None:
        files = {}
        for name, (tensors, structure) in content.items():
            files[f"{name}.safetensors"] = write_file(
                folder / f"{name}.safetensors", encode_tensors(tensors), sync=False
            )
            files[f"{name}.json"] = write_file(folder / f"{name}.json", [dump_json(structure)], sync=False)
        facts: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "step": step,
            "score": None if score is None else float(score),
            "files": {name: written._asdict() for name, written in files.items()},
        }
        facts["sha256"] = _own_checksum(facts)
        write_file(folder / MANIFEST, [dump_json(facts, indent=2), b"\n"], sync=False)
        # All at once, after all are written: the first sync carries most of the others' work with it.
        for name in [*files, MANIFEST]:
            sync_file(folder / name)
        sync_folder(folder)

    def _install(self, temporary: Path, place: Path) -> None:
        """Give the finished folder its name; a folder cannot replace another in one step: set that aside."""
        aside = place.with_name(place.name + ".replaced")
        if place.exists():
            if aside.exists():
                _discard(aside)
            place.rename(aside)
        try:
            temporary.rename(place)
        except BaseException:
            if aside.exists() and not place.exists():
                aside.rename(place)
            raise
        sync_folder(self.folder)

    def _prune(self, saved: int) -> None:
        """Remove what is no longer kept; the checkpoint just saved always is."""
        steps = self.steps()
        kept = {saved, *steps[-self.keep_last :], *self._by_score()[: self.keep_best]}
        for step, folder in self._folders():
            if step not in kept or (folder.suffix and folder.with_suffix("").exists()):
                try:
                    _discard(folder)
                except OSError as error:  # the new checkpoint is safe: no reason to stop training
                    _log.warning("cannot remove the old checkpoint %s: %s", folder, error)


def _discard(folder: Path) -> None:
    """Remove a checkpoint: renamed first, so that one half removed is never taken for a damaged one."""
    with temporary_beside(folder) as temporary:
        folder.rename(temporary)


def _identity(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _own_checksum(facts: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in facts.items() if key != "sha256"}
    return hashlib.sha256(dump_json(rest, sort_keys=True)).hexdigest()


def _damaged(path: Path, received: str) -> DamagedFileError:
    return DamagedFileError(f"{path.parent.name}/{path.name} as it was saved", received, MEND)


def _translated(error: StorageError, path: Path) -> StorageError:
    """Tell a file that is gone or cannot be read back (damaged) from a refusal that concerns all files."""
    number = getattr(error.__cause__, "errno", None)
    if isinstance(error, DamagedFileError) or number in _GONE:
        return _damaged(path, error.received)
    return error


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        facts = parse_json(read_bytes(path, MAX_JSON_BYTES), path)
        if facts["sha256"] != _own_checksum(facts):
            raise _damaged(path, "other content than its checksum tells")
        version = int(facts["format"])
        if version > FORMAT_VERSION:
            raise DataError(
                f"a checkpoint of format {FORMAT_VERSION} or older in {folder}",
                f"format {version}",
                "update Gradus to the version that wrote it",
            )
        files = {str(name): Written(int(f["size"]), str(f["sha256"])) for name, f in facts["files"].items()}
        score = facts["score"]
        return _Manifest(step=int(facts["step"]), score=None if score is None else float(score), files=files)
    except StorageError as error:
        raise _translated(error, path) from error
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, "something that is no manifest") from error


def _part_names(manifest: _Manifest) -> Iterator[str]:
    for name in manifest.files:
        if name.endswith(".safetensors") and _PART.fullmatch(name.removesuffix(".safetensors")):
            yield name.removesuffix(".safetensors")


def _read(folder: Path) -> tuple[_Manifest, dict[str, Any]]:
    """Read a checkpoint and compare every byte that is used with the manifest."""
    manifest = _read_manifest(folder)
    if folder.name.removesuffix(".replaced") != f"step_{manifest.step}":
        raise _damaged(folder / MANIFEST, f"the manifest of step {manifest.step}")
    parts = {}
    for name in _part_names(manifest):
        parts[name] = _read_part(folder, name, manifest)
    return manifest, parts


def _read_part(folder: Path, name: str, manifest: _Manifest) -> Any:
    path = folder / f"{name}.json"
    try:
        written = manifest.files[path.name]
        text = read_bytes(path, written.size)
        if Written(len(text), hashlib.sha256(text).hexdigest()) != written:
            raise _damaged(path, "other content")
        path = folder / f"{name}.safetensors"
        with storage_errors(path, "to read"):
            if path.stat().st_size != manifest.files[path.name].size:
                raise _damaged(path, "another size")
        tensors, _, written = read_tensors(path)
        if written != manifest.files[path.name]:
            raise _damaged(path, "other content")
        return unflatten(parse_json(text, path), tensors)
    except KeyError as error:
        raise _damaged(folder / MANIFEST, f"no line for {path.name}") from error
    except StorageError as error:
        raise _translated(error, path) from error
