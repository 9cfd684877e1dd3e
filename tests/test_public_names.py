"""What a user sees of the package: the names that dir() and completion show."""

import fastbp


def test_dir_shows_the_public_names_only():
    shown = dir(fastbp)
    assert shown == sorted(shown)
    assert set(shown) == {*fastbp.__all__, "__version__", "backends", "exchange"}
    for name in shown:
        assert getattr(fastbp, name) is not None
