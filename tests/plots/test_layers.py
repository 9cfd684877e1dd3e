"""Weights as images, and activations by layer."""

import numpy as np
import pytest
from helpers import make_network
from matplotlib.colors import to_hex
from plot_helpers import background, classes, contrast, fitted, is_clean
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

images = fastbp.WeightImageDisplay.from_estimator
activations = fastbp.ActivationHistogramDisplay.from_estimator


def test_weights_as_images(style):
    """Pixel by pixel: the colour of each weight, which is the colour bar's."""
    net = make_network([12, 5, 2], "squared_error", "numpy")
    display = images(net, (4, 3))
    assert np.array_equal(display.images, net.weights[0].T.reshape(5, 4, 3))
    shown = np.asarray(display.ax_.get_images()[0].get_array())
    bar = display.figure_.axes[-1]
    shade, norm = bar._colorbar.cmap, bar._colorbar.norm
    assert (norm.vmin, norm.vmax) == (-np.abs(net.weights[0]).max(), np.abs(net.weights[0]).max())
    assert bar.get_ylabel() == "weight"
    columns = 3  # 2 x 3 leaves one place, 3 x 2 too; 3 is nearer to the shape of a picture
    assert shown.shape == (2 * 5 + 1, columns * 4 + 1, 3)
    for unit in range(5):
        row, column = divmod(unit, columns)
        part = shown[row * 5 + 1 : row * 5 + 5, column * 4 + 1 : column * 4 + 4]
        ref = shade(norm(net.weights[0][:, unit].reshape(4, 3)))[..., :3]
        assert np.allclose(part, ref)
    zero = shade(0.5)[:3]  # the background's colour
    assert contrast(zero, background(display.ax_)) < 1.05
    assert contrast(shown[0, 0], background(display.ax_)) > 1.3  # of the frames
    is_clean(display)


def test_colour_images():
    """Grey for 0; the rest of the last row has the colour of the background."""
    net = make_network([2 * 2 * 3, 5, 1], "squared_error", "numpy")
    display = images(net, [2, 2, 3])
    W = net.weights[0]
    shown = np.asarray(display.ax_.get_images()[0].get_array())
    assert np.allclose(shown[1:3, 1:3], 0.5 + W[:, 0].reshape(2, 2, 3) / np.abs(W).max() / 2)
    assert to_hex(shown[-2, -2]) == "#ffffff"
    is_clean(display)


def test_which_units():
    """By default the 64 with the largest weights, in their order."""
    net = make_network([9, 100, 1], "squared_error", "numpy")
    display = images(net)
    sizes = np.linalg.norm(net.weights[0], axis=0)
    kept = [unit for unit in range(100) if sizes[unit] >= np.sort(sizes)[-64]]
    assert np.array_equal(display.images, net.weights[0][:, kept].T.reshape(64, 3, 3))
    assert display.ax_.get_title() == "Layer 1: 64 of 100 units"
    display = images(net, units=[7, 3])
    assert np.array_equal(display.images, net.weights[0][:, [7, 3]].T.reshape(2, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "12 features are no square image"),
        ({"image_shape": (3, 3)}, r"\(3, 3\) makes 9 features, but the network has 12"),
        ({"image_shape": (12,)}, "must be"),
        ({"image_shape": (3, 2, 2)}, "must be"),
        ({"image_shape": (3, 4), "units": []}, "at least one unit"),
        ({"image_shape": (3, 4), "units": [5]}, "a unit must be at most 4, got 5"),
        ({"image_shape": (3, 4), "units": [-1]}, "a unit must be at least 0"),
    ],
)
def test_no_images(arguments, message):
    with pytest.raises(ValueError, match=message):
        images(make_network([12, 5, 1], "squared_error", "numpy"), **arguments)
    with pytest.raises(ValueError, match="images must have shape"):
        fastbp.WeightImageDisplay(np.zeros((3, 4)))


def test_activations(style):
    """A row for each hidden layer: the density without zeros, their share, constant units."""
    X, _ = classes()
    net = make_network([2, 6, 4, 1], "log_loss", "numpy", activation="relu")
    net.weights[0][:, 2], net.biases[0][2] = 0, -1  # a dead unit
    display = activations(net, X, bins=8)
    ref = net.layer_outputs(X)[:-1]
    assert len(display.activations) == 2
    low, high = min(h.min() for h in ref), max(h.max() for h in ref)
    for i, (patch, h) in enumerate(zip(display.ax_.patches, ref, strict=True)):
        assert np.array_equal(display.activations[i], h)
        heights, edges, base = patch.get_data()
        counts = np.histogram(h[h != 0], 8, (low, high))[0]
        assert base == 1 - i and (edges[0], edges[-1]) == (low, high)
        assert np.allclose(heights - base, 0.85 * counts / counts.max())
    text = display.ax_.texts[0].get_text().splitlines()
    constant = (ref[0] == ref[0][:1]).all(axis=0).sum()
    assert text == [f"{(ref[0] == 0).mean():.0%} zero", f"{constant} constant"]
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == ["layer 1\n6 relu units", "layer 2\n4 relu units"]
    is_clean(display)


def test_activations_of_a_pipeline():
    X, y = classes()
    model = make_pipeline(StandardScaler(), fitted("MLPClassifier", X, y, activation="tanh"))
    model[0].fit(X)
    (shown,) = activations(model, X).activations
    assert np.array_equal(shown, model[-1].layer_outputs(model[0].transform(X))[0])
    with pytest.raises(ValueError, match="no hidden layer"):
        activations(make_network([2, 1], "log_loss", "numpy"), X)


def test_dead_layers_are_drawn():
    net = make_network([2, 3, 1], "log_loss", "numpy", activation="relu")
    net.weights[0], net.biases[0] = np.zeros((2, 3)), np.full(3, -1.0)
    display = activations(net, classes()[0])
    assert display.ax_.texts[0].get_text() == "100% zero\n3 constant"
    is_clean(display)
