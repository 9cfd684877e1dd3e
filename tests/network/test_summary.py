"""Network.summary: what it counts and how it prints."""

import numpy as np
import pytest

import fastbp

TABLE = """\
Network, loss poisson, float64, backend numpy
layer   units  activation  weights   parameters
input   1,200
1           3  tanh        1200 x 3       3,603
output      1  exp         3 x 1              4
3,607 parameters, 28.2 KiB"""


def test_table():
    options = {"activation": "tanh", "loss": "poisson", "dtype": "float64", "backend": "numpy"}
    summary = fastbp.Network([1200, 3, 1], **options).summary()
    assert repr(summary) == str(summary) == TABLE
    html = summary._repr_html_()
    assert html.count("<tr>") == html.count("</tr>") == 4
    assert "<td>1200 x 3</td><td>3,603</td>" in html and "28.2 KiB</caption>" in html


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_those_of_the_arrays(dtype, backend):
    net = fastbp.Network(
        [5, 7, 3, 2], activation=["relu", "elu"], loss="cross_entropy", dtype=dtype, backend=backend
    )
    summary, arrays = net.summary(), [*net.weights, *net.biases]
    assert summary.sizes == (5, 7, 3, 2)
    assert summary.activations == ("relu", "elu", "softmax")
    assert summary.n_parameters == sum(array.size for array in arrays)
    assert summary.n_bytes == sum(array.nbytes for array in arrays)


def test_titles():
    def loss(h, y):
        return ((h - y) ** 2).sum(axis=1), 2 * (h - y)

    net = fastbp.Network([2, 1], loss=loss, compute_dtype="bfloat16", backend="numpy")
    title = "Network, loss loss, float32, products in bfloat16, backend numpy"
    assert net.summary().title == title
    assert "8 bytes" not in repr(net.summary()) and "3 parameters, 12 bytes" in repr(net.summary())
    assert np.array_equal(net.summary().sizes, [2, 1])
    net = fastbp.Network([2, 3], loss=None, output_activation="softmax", backend="numpy")
    assert net.summary().title == "Network, no loss, float32, backend numpy"
    assert net.summary().activations == ("softmax",)
