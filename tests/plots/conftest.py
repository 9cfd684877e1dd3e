"""Every test of pictures: no warnings, no figures left open; and the styles to try."""

import warnings

import matplotlib
import pytest
from matplotlib import pyplot

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """No warnings, such as those of a layout without room; no figures are left open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    pyplot.close("all")


@pytest.fixture(params=["default", "dark_background", "ggplot"])
def style(request):
    """A light style, a dark one, and one with colours and a background of its own."""
    with pyplot.style.context(request.param):
        yield request.param
