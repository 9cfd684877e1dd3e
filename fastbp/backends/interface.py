"""The interface of a backend: a few functions over flat buffers.

``numpy_`` (the reference), ``numba_`` and ``cython_`` implement the protocol `Backend` below. The
caller has checked and allocated all arguments. A backend draws no random numbers, allocates no
memory that outlives a call, raises no errors and keeps no state between calls. It takes no locks;
the compiled backends run without the GIL.

Common arguments ("real" is the network's dtype, float32 or float64; m layers)

plan : int64 array of shape (m + 1, layout.COLUMNS), IN
    The network's layout, see layout.py.
loss : int, IN
    Code of the loss, see spec.py. It implies the output activation.
loss_parameter : float, IN
    The loss's parameter: huber's δ, quantile's q. For three losses, a parameter other than 0
    changes the reported value but not the gradient: log_loss (with targets 0 and 1) becomes -ln
    of the target's probability, computed as h or 1 - h and clipped to [parameter, 1 - parameter];
    a sample's cross_entropy becomes at most the parameter; squared_error is multiplied by it. The
    other losses ignore it.
function : int, IN
    For the loss spec.CUSTOM the address of a C function, else 0. It is called as
    ``function(rows, n, stride, s, y, unwritten)``, with three int64 and three pointers to reals,
    for a thread's own rows of a block. Row r's outputs s and targets y are n numbers that start
    at r * stride. The function overwrites s with ∂e/∂s, y with the row's loss e followed by zeros,
    and the single number `unwritten` with 0. If `unwritten` is still 1 afterwards, the losses
    count as NaN.
parameters : real array of shape (layout.n_parameters,), IN; IN-OUT in train
    Weights and biases, in rows padded with zeros.
X : real array of shape (n, n_0), C-contiguous, IN, may be read-only
    Samples.
labels : int64 array of shape (n,) or (0,), IN, may be read-only
    Class numbers, or empty if `targets` are given.
targets : real array of shape (n, n_m) or (0, n_m), C-contiguous, IN, may be read-only
    Target values, or empty if `labels` are given.
sample_weight : real array of shape (n,) or (0,), IN, may be read-only
    Sample weights; empty means 1 for every sample. A row of weight 0 adds exactly 0 to the loss
    and the gradient, even if its own loss overflows.
block : int, IN
    How many rows go through the network at a time (layout.block_rows): the whole batch, or a
    multiple of 16. The result does not depend on it.
workspace : real array of shape (layout.workspace_size(block),), destroyed
transposed : real array of shape (layout.n_transposed,), OUT
    Space for the transposed weights.
gradient : real array of shape (layout.n_parameters,), OUT
    ∂(mean loss)/∂parameters, laid out like `parameters`. Its padding must be zero on entry.

No two arrays overlap.
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
        """The library, its version and the CPU build that compute."""

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
            The values of the loss's output activation, such as probabilities.

        If X fits into one block, the workspace keeps the hidden layers' activations, see
        ``layout.activation``.
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

        They exclude penalties, and are zero if the weights sum to zero. If `gradient` and
        `transposed` are empty, only the loss is computed.

        stop : int64 array of shape (1,), IN
            Read before each block; once it is not zero, NaN is returned. NumPy's backend takes
            all rows at once and ignores it.
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

        Pass an empty array for each output that is not needed.

        plan : as above, for a layout that keeps s beside h (``Layout.separate``).
        deltas : real array of shape (n, n_m) or (0, n_m), C-contiguous, IN, may be read-only
            If given, these are ∂f/∂s_m of a function f that is differentiated instead of the
            loss; `labels`, `targets` and `losses` are then ignored.
        transposed : real array of shape (layout.n_all_transposed,), OUT
        losses : real array of shape (n,) or (0,), OUT
            e of each row.
        gradients : real array of shape (n, Σ_i (n_{i-1} + 1) n_i) or (0, ...), OUT
            ∂e/∂W_1, ∂e/∂b_1, ∂e/∂W_2, ... of each row, concatenated without padding.
        errors : real array of shape (n, n_0) or (0, n_0), OUT
            ∂e/∂h_0.
        units : real array of shape (n, 4 Σ_{i>0} n_i) or (0, ...), OUT
            s_1, h_1, ∂e/∂h_1, ∂e/∂s_1, s_2, ... of each row, concatenated. ∂e/∂h_m is not
            written: no backend needs it to compute ∂e/∂s_m.
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
        """Train for a number of epochs; return how many were finished.

        Fewer than requested means that `stop` was set or that a batch's loss was not finite.
        `parameters` are then as before that batch; in the latter case, ``losses[returned]`` holds
        the loss.

        order : int64 array of shape (epochs, any number) or of size 0, C-contiguous, IN
            The rows to train on, in order, one line per epoch. A line may omit or repeat rows.
            Empty means 0, 1, ..., n - 1 in each epoch. A batch is `batch_size` consecutive
            entries; the last batch of an epoch may be smaller.
        rates : float64 array of shape (steps of this call,) or (0,), IN
            The learning rate of each step; if empty, ``hyper[0]`` throughout.
        hyper : float64 array of shape (6,), IN
            The hyper-parameters from ``Optimizer.hyper``.
        rules : float64 array of shape (m + 1, spec.RULES), C-contiguous, IN
            For each layer i > 0 the factors l1 and l2 of the penalties l1 Σ |W| + l2 / 2 Σ W²
            (weights, not biases), which are added to the loss of each batch, and whether the
            layer is frozen (not 0): its weights and biases then do not change. At least one
            layer must not be frozen.
        divided : int, IN
            1 for scikit-learn's convention: a batch's penalties are divided by its Σ w, and
            an epoch's loss is the mean of its batches' losses, weighted by their numbers of rows.
            0: penalties are independent of the batch, and batches' losses are weighted by Σ w.
        clip_norm : float, IN
            The largest norm of the gradient of all layers that are not frozen, penalties
            included; a larger gradient is scaled down to this norm.
        squares : float64 array of shape (Σ (n_{i-1} + 1),) or (0,), destroyed
            Scratch space for clipping, zero at first; empty for no clipping.
        decay : float, IN
            The weight of the previous average in each step.
        average : real array of shape (layout.n_parameters,) or (0,), IN-OUT
            The exponential moving average of the parameters, which starts with the parameters
            after the first step; empty for none.
        seed : int, IN
            From 0 up to 2**63 - 1. The seed and the number of the step determine dropout. The
            plan has the rates; they are 0 in the plans of the other functions.
        counters : float64 array of shape (threads, 3), C-contiguous, IN-OUT
            For each thread: steps done so far, β1^steps and β2^steps (0, 1, 1 at the start).
        state : real array of shape (slots, layout.n_parameters), C-contiguous, IN-OUT
            The optimiser's arrays, laid out like the parameters. Padding does not change.
        losses : float64 array of shape (epochs,), OUT
            Per epoch, Σ w e / Σ w with each batch's loss before its step, plus the mean of the
            penalties, weighted by rows.
        stop : int64 array of shape (1,), IN
            Read before each step; training ends once it is not zero.
        team : int64 array of shape (TEAM_SIZE,), destroyed
            State shared by the threads of a team, zero at first. To train with several threads,
            each thread calls this function at the same time with the same arrays, `team`
            included, and with its own rank 0, 1, ...; all calls return the same value. The result
            does not depend on the number of threads. NumPy's backend supports one thread only.
        rank : int, IN
            The number of this thread in the team.
        """
