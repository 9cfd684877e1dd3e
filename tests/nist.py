"""Nonlinear regressions of NIST's Statistical Reference Datasets that a network can express.

Data, starting values and certified values come from
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
"""

from dataclasses import dataclass

import numpy as np

import fastbp


@dataclass(frozen=True)
class Regression:
    """One problem; parameters are b1, b2, ... of NIST's formula."""

    y: list
    x: list
    activation: str
    network_of: object  # from b to the entries (W_1, b_1, W_2)
    starts: list
    certified: list
    errors: list
    residual_squares: float

    def network(self, b, backend):
        """One hidden unit, the output without bias."""
        net = fastbp.Network(
            [1, 1, 1],
            activation=self.activation,
            loss="squared_error",
            dtype="float64",
            backend=backend,
        )
        W_1, b_1, W_2 = self.network_of(b)
        net.weights[0], net.biases[0], net.weights[1] = [[W_1]], [b_1], [[W_2]]
        net.biases[1] = [0.0]
        return net

    @property
    def X(self):
        return np.array(self.x, float)[:, None]


def _saturating(b):
    """y = b1 (1 - exp(-b2 x)); elu gives exp(-b2 x) - 1."""
    return -b[1], 0.0, -b[0]


REGRESSIONS = {
    # y = b1 / (1 + exp(b2 - b3 x)), higher difficulty.
    "Rat42": Regression(
        [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08],
        [9, 14, 21, 28, 42, 57, 63, 70, 79],
        "sigmoid",
        lambda b: (b[2], -b[1], b[0]),
        [[100, 1, 0.1], [75, 2.5, 0.07]],
        [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
        [1.7340283401e00, 8.8295217536e-02, 3.4465663377e-03],
        8.0565229338e00,
    ),
    # Higher difficulty.
    "BoxBOD": Regression(
        [109, 149, 149, 191, 213, 224],
        [1, 2, 3, 5, 7, 10],
        "elu",
        _saturating,
        [[1, 1], [100, 0.75]],
        [2.1380940889e02, 5.4723748542e-01],
        [1.2354515176e01, 1.0455993237e-01],
        1.1680088766e03,
    ),
    # Lower difficulty.
    "Misra1a": Regression(
        [
            *(10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02),
            *(44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78),
        ],
        [
            *(77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8),
            *(378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0),
        ],
        "elu",
        _saturating,
        [[500, 0.0001], [250, 0.0005]],
        [2.3894212918e02, 5.5015643181e-04],
        [2.7070075241e00, 7.2668688436e-06],
        1.2455138894e-01,
    ),
}
