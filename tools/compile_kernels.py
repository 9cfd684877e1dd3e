"""Compile Numba's kernels into its cache, each once, for the processes that follow.

    python tools/compile_kernels.py

`make test` does it beside the documentation, which keeps one core busy: else two processes of
tests would compile the same kernels at the same time.
"""

import numpy as np

import fastbp


def main():
    X, y = np.zeros((4, 3)), np.zeros((4, 2))
    for dtype in ("float64", "float32"):  # the documentation begins with float32
        net = fastbp.Network([3, 4, 2], loss="squared_error", dtype=dtype, seed=0, backend="numba")
        net.fit(X, y, epochs=1)
        net.loss_and_gradient(X, y)
        net.per_sample_gradients(X, y)
        net.predict(X)


if __name__ == "__main__":
    main()
