"""What a backend is: a few functions over flat buffers.

`Backend` below is the contract that ``numpy_`` (the reference), ``numba_`` and ``cython_``
keep. All arguments have been checked and allocated by ``network.py``; a backend draws no
random numbers, allocates nothing that lasts, raises nothing and keeps nothing between calls.
It holds no lock: the compiled ones run without the GIL.

Common arguments ("real" is the network's dtype, float32 or float64; m layers)

plan : int64 array of shape (m + 1, layout.COLUMNS), IN
    The network's layout, see layout.py.
loss : int, IN
    Code of the loss, see spec.py. It implies the output activation.
loss_parameter : float, IN
    The loss's parameter: huber's δ, quantile's q. Three losses take one, if it is not 0, that
    changes the value which is reported but not the gradient: log_loss, of targets 0 and 1, is -ln
    of the probability of the target, computed as h or 1 - h and clipped to at least this and at
    most 1 less this; cross_entropy of a sample is at most this; squared_error is multiplied by
    it. Whatever for the others.
function : int, IN
    For the loss spec.CUSTOM the address of a C function, else 0. It is called as
    ``function(rows, n, stride, s, y, unwritten)``, three int64 and three pointers to reals, with a
    thread's own rows of a block: row r's outputs s and targets y are n numbers from r * stride on.
    It writes ∂e/∂s over s, over y the row's loss e followed by zeros, and 0 over `unwritten`, a
    single number; where that is still 1 afterwards, the losses count as NaN.
parameters : real array of shape (layout.n_parameters,), IN; IN-OUT in train
    Weights and biases in rows padded with zeros.
X : real array of shape (n, n_0), C-contiguous, IN, may be read-only
    Samples.
labels : int64 array of shape (n,) or (0,), IN, may be read-only
    Class numbers, or empty if `targets` are given.
targets : real array of shape (n, n_m) or (0, n_m), C-contiguous, IN, may be read-only
    Target values, or empty if `labels` are given.
sample_weight : real array of shape (n,) or (0,), IN, may be read-only
    Empty means 1 for every sample. A row of weight 0 adds exactly 0 to loss and gradient, even if
    its own loss overflows.
block : int, IN
    How many rows go through the network at a time (layout.block_rows): the whole batch, or a
    multiple of 16. The result does not depend on it.
workspace : real array of shape (layout.workspace_size(block),), destroyed
transposed : real array of shape (layout.n_transposed,), OUT
    The transposed weights; the caller only provides the space.
gradient : real array of shape (layout.n_parameters,), OUT
    ∂(mean loss)/∂parameters, laid out like them. Its padding must be zero on entry.

No array overlaps another one.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TEAM_SIZE = 24

Real = NDArray[np.floating]
Integers = NDArray[np.int64]


class Backend(Protocol):
    """The functions of a backend; `fastbp.backends.get` returns an object with these."""

    name: str
    teams: bool  # whether several threads may run `train` together

    def describe(self) -> str:
        """What computes: library, version, CPU build."""

    def finite(self, array: Real) -> bool:
        """Whether a C-contiguous array of any shape holds neither NaN nor infinities."""

    def predict(
        self,
        plan: Integers,
        loss: int,
        parameters: Real,
        X: Real,
        block: int,
        workspace: Real,
        out: Real,
    ) -> None:
        """Forward pass: out = σ_m(... σ_1(X W_1 + b_1) ...).

        out : real array of shape (n, n_m), C-contiguous, OUT
            Probabilities or values: what the loss's output activation returns.

        The hidden layers' activations are left in the workspace if X is no more than a block,
        see ``layout.activation``.
        """

    def loss_and_gradient(
        self,
        plan: Integers,
        loss: int,
        loss_parameter: float,
        function: int,
        parameters: Real,
        X: Real,
        labels: Integers,
        targets: Real,
        sample_weight: Real,
        block: int,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        stop: NDArray[np.int64],
    ) -> float:
        """The weighted mean loss Σ w e / Σ w of all rows, and its gradient.

        Without penalties; if the weights sum to zero, loss and gradient are zero.
        `gradient` and `transposed` may be empty: then only the loss is computed.

        stop : int64 array of shape (1,), IN
            Read before each block; once it is not zero, NaN is returned. NumPy's backend, which
            takes all rows at once, does not look at it.
        """

    def per_sample(
        self,
        plan: Integers,
        loss: int,
        loss_parameter: float,
        function: int,
        parameters: Real,
        X: Real,
        labels: Integers,
        targets: Real,
        deltas: Real,
        block: int,
        workspace: Real,
        transposed: Real,
        losses: Real,
        gradients: Real,
        errors: Real,
        units: Real,
    ) -> None:
        """Each row's own loss and derivatives, without weights or means.

        What is not wanted is an empty array.

        plan : as above, of a layout that keeps s beside h (``Layout.separate``).
        deltas : real array of shape (n, n_m) or (0, n_m), C-contiguous, IN, may be read-only
            If given, what is differentiated is not the loss but anything whose ∂/∂s_m these
            are; then `labels`, `targets` and `losses` are not looked at.
        transposed : real array of shape (layout.n_all_transposed,), OUT
        losses : real array of shape (n,) or (0,), OUT
            e of each row.
        gradients : real array of shape (n, Σ_i (n_{i-1} + 1) n_i) or (0, ...), OUT
            For each row ∂e/∂W_1, ∂e/∂b_1, ∂e/∂W_2, ... one after the other, without padding.
        errors : real array of shape (n, n_0) or (0, n_0), OUT
            ∂e/∂h_0.
        units : real array of shape (n, 4 Σ_{i>0} n_i) or (0, ...), OUT
            For each row s_1, h_1, ∂e/∂h_1, ∂e/∂s_1, s_2, ... one after the other. ∂e/∂h_m,
            which no backend needs to get to ∂e/∂s_m, is left as it is.
        """

    def train(
        self,
        plan: Integers,
        loss: int,
        loss_parameter: float,
        function: int,
        parameters: Real,
        X: Real,
        labels: Integers,
        targets: Real,
        sample_weight: Real,
        order: Integers,
        epochs: int,
        rates: NDArray[np.float64],
        batch_size: int,
        optimizer: int,
        hyper: NDArray[np.float64],
        rules: NDArray[np.float64],
        divided: int,
        clip_norm: float,
        squares: NDArray[np.float64],
        decay: float,
        average: Real,
        seed: int,
        counters: NDArray[np.float64],
        state: Real,
        block: int,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        losses: NDArray[np.float64],
        stop: NDArray[np.int64],
        team: NDArray[np.int64],
        rank: int,
    ) -> int:
        """Train for a number of epochs; returns how many were finished.

        Fewer than asked for means that `stop` was set or that a batch's loss was not
        finite; then `parameters` are those before that batch (in the latter case,
        ``losses[returned]`` holds the loss).

        order : int64 array of shape (epochs, any number) or of size 0, C-contiguous, IN
            The rows to train on in the order of training, one line an epoch, in which rows may
            be missing or come more than once; empty for 0, 1, ..., n - 1 in each. A batch is
            `batch_size` successive entries, the last may be smaller.
        rates : float64 array of shape (steps of this call,) or (0,), IN
            The learning rate of each step; if empty, ``hyper[0]`` throughout.
        hyper : float64 array of shape (6,), IN
            Hyper-parameters as ``Optimizer.hyper`` returns them.
        rules : float64 array of shape (m + 1, spec.RULES), C-contiguous, IN
            For each layer i > 0 the factors of the penalties l1 Σ |W| + l2 / 2 Σ W² (weights,
            not biases) that are added to the loss of each batch, and whether its weights and
            biases stay as they are (not 0). Not all layers may be frozen.
        divided : int, IN
            1 for scikit-learn's convention: a batch's penalties are divided by its Σ w, and
            an epoch's loss is the mean of its batches' losses by their numbers of rows.
            0: penalties are independent of the batch, losses weighted by Σ w.
        clip_norm : float, IN
            The largest norm of the gradient of all layers that are not frozen, penalties
            included; a larger one is scaled down to it.
        squares : float64 array of shape (Σ (n_{i-1} + 1),) or (0,), destroyed
            Space for clipping, zero at first; empty for none.
        decay : float, IN
            How much of the average is kept in each step.
        average : real array of shape (layout.n_parameters,) or (0,), IN-OUT
            The exponential moving average of the parameters, which begins with those after
            the first step; empty for none.
        seed : int, IN
            From 0 up to 2**63 - 1; with the number of the step, what dropout draws from. The
            plan has the rates; they are 0 in the plans of the other functions.
        counters : float64 array of shape (threads, 3), C-contiguous, IN-OUT
            Steps done so far, β1^steps and β2^steps (0, 1, 1 at the start), for each thread.
        state : real array of shape (slots, layout.n_parameters), C-contiguous, IN-OUT
            The optimiser's arrays, laid out like the parameters. Padding stays as it is.
        losses : float64 array of shape (epochs,), OUT
            Per epoch, Σ w e / Σ w over the batches' losses as they were before each step, plus
            the mean of the penalties by rows.
        stop : int64 array of shape (1,), IN
            Read before each step; training ends once it is not zero.
        team : int64 array of shape (TEAM_SIZE,), destroyed
            What the threads of a team share, zero at first. To train with several threads, as
            many call this function at the same time with the same arrays (all of them, `team`
            included) and with ranks 0, 1, ...; they all return the same. The result does not
            depend on their number. NumPy's backend has teams of one only.
        rank : int, IN
            The number of this thread in the team.
        """
