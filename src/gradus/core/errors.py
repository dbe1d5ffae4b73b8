"""One family of errors: what was expected, what was received, and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "DamagedFileError",
    "DataError",
    "DeviceError",
    "GradusError",
    "InputError",
    "LockedError",
    "MissingExtraError",
    "NonFiniteError",
    "PeerError",
    "SettingError",
    "StorageError",
    "nearest",
]


class GradusError(Exception):
    """Base of every error Gradus raises on purpose.

    The message is one sentence, ``expected <expected>, got <received>; <mend>``.

    Parameters
    ----------
    expected : str
        What the code needed, in the user's terms.
    received : str
        What came instead.
    mend : str
        What to do about it, in the imperative.

    Examples
    --------
    >>> str(GradusError("a file", "a folder", "name the file inside it"))
    'expected a file, got a folder; name the file inside it'
    """

    def __init__(self, expected: str, received: str, mend: str) -> None:
        self.expected, self.received, self.mend = expected, received, mend
        super().__init__(f"expected {expected}, got {received}; {mend}")

    def __reduce__(self) -> tuple[type[GradusError], tuple[str, str, str]]:
        """Cross process borders (joblib, multiprocessing) without losing the three parts."""
        return type(self), (self.expected, self.received, self.mend)


class InputError(GradusError, ValueError):
    """An array, frame or argument has the wrong shape, type or values."""


class DataError(GradusError, ValueError):
    """A file, folder or data set cannot be read as what it claims to be."""


class SettingError(GradusError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class DeviceError(GradusError, RuntimeError):
    """The device asked for is not there."""


class NonFiniteError(GradusError, FloatingPointError):
    """A loss or weight became NaN or infinite during training."""


class PeerError(GradusError, RuntimeError):
    """Another process of the same training is gone, or does not come."""


class StorageError(GradusError, OSError):
    """The disk refused: full, read-only, over a size limit."""


class DamagedFileError(StorageError):
    """A stored file does not match its manifest, or is not what its name says."""


class LockedError(StorageError):
    """Another process holds the run folder."""


class MissingExtraError(GradusError, ImportError):
    """An optional dependency is not installed."""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ``"did you mean 'x'? "`` for the closest of ``words``, or an empty string.

    Examples
    --------
    >>> nearest("learning_rat", ["learning_rate", "batch_size"])
    "did you mean 'learning_rate'? "
    >>> nearest("AGE", ["age", "sex"])
    "did you mean 'age'? "
    >>> nearest("zzz", ["learning_rate"])
    ''
    """
    known = [str(w) for w in words]
    close = get_close_matches(str(word), known, n=1, cutoff=0.6)
    if not close:  # capitals count as other letters above
        folded = {w.casefold(): w for w in reversed(known)}
        close = [folded[w] for w in get_close_matches(str(word).casefold(), folded, n=1, cutoff=0.6)]
    return f"did you mean {close[0]!r}? " if close else ""
