"""Errors travel between processes with everything they know."""

import pickle

import pytest

from fidip.errors import DataError, DownloadError, ImageError, MissingExtra, TrainingError


@pytest.mark.parametrize(
    "error",
    [
        DataError("a.json", "images[3]", "wrong"),
        ImageError("a.png", "broken"),
        MissingExtra("warp-lang", "synthesis", "rendering"),
        TrainingError("stopped"),
        DownloadError("https://a.example/x: gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
