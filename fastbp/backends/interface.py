"""The interface of a backend: a few functions over flat buffers, and the job of a training.

``numpy_`` (the reference), ``numba_`` and ``cython_`` implement the protocols `Backend` and `Job`
below. The caller has checked and allocated all arguments. A backend draws no random numbers,
allocates no memory that outlives a call, raises no errors and keeps no state between calls, except
for what a job was given. It takes no locks; the compiled backends run without the GIL.

Common arguments ("real" is the network's dtype, float32 or float64; m layers)

model : Model, IN
    The network; its parameters are IN-OUT for a job.
data : Data, IN
    The samples; see the module `data`. ``X`` is real of shape (n, n_0), or `SparseRows` if the
    plan has SPARSE (in `predict`, `loss_and_gradient` and jobs), or real of shape
    (n, layout.n_features) if it has INPUTS; ``labels`` int64 of shape
    (n,) or (0,), ``targets`` real of shape (n, n_t) or (0, n_t), ``sample_weight`` real of shape
    (n,) or (0,). All are C-contiguous and may be read-only. n_t is n_m or, for the losses of
    distributions, 1; the plan's column TARGETS has it. A row of weight 0 adds exactly 0 to the loss
    and the gradient, even if its own loss overflows.
block : int, IN
    How many rows go through the network at a time (layout.block_rows): the whole batch, or a
    multiple of 16.
workspace : real array of shape (layout.workspace_size(block),), destroyed
transposed : real array of shape (layout.n_transposed,), OUT
    Space for the transposed weights.
gradient : real array of shape (layout.n_parameters,), OUT
    ∂(mean loss)/∂parameters, laid out like the parameters. Its padding must be zero on entry.
sums : float64 array of shape (groups, layout.line), destroyed
    Space for the gradients and losses of groups of blocks; (groups, LOSS_PLACES) without gradients.
    layout.partition of a batch gives `groups` and `block`: 0 groups for batches of a single
    block. `workspace` then has layout.team_workspace_size(block, groups, threads) numbers.

No two arrays overlap.

In the compiled backends, `loss_and_gradient`, `sobolev_gradient`, `forward`, `backward` and a job
take denormal numbers for zeros. They restore the thread's floating-point control register, also
while a custom loss runs. The other functions are exact.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..basis.data import Data

SHARED_SIZE = 24

Real = NDArray[np.floating]
Integers = NDArray[np.int64]


class Model(NamedTuple):
    """A network as the backends take it.

    Attributes
    ----------
    plan : int64 array of shape (m + 1, layout.COLUMNS)
        The network's layout, see layout.py. Only plans of jobs have rates of dropout. A hidden
        layer computes

        s = h_{i-1} W + b, x̂ = (s - mean(s)) / √(mean((s - mean(s))²) + ε), z = γ ∘ x̂ + β,
        σ(z), and h_i = dropped σ(z) + h_{i-1}

        without the steps that its plan does not ask for: LAYER_NORM takes all of them, RMS_NORM
        has no means of s and no β, without a NORM z is s; the last sum is for RESIDUAL. σ is
        max(z, 0) + a ∘ min(z, 0) for PRELU. γ, β and a are the rows behind that of the biases.
        Back from ∂e/∂h_i, of which h_{i-1} gets its part:

        ∂e/∂z = dropped ∂e/∂h_i σ'(z), ∂e/∂a = Σ_rows dropped ∂e/∂h_i ∘ min(z, 0),
        ∂e/∂γ = Σ_rows ∂e/∂z ∘ x̂, ∂e/∂β = Σ_rows ∂e/∂z and with g = γ ∘ ∂e/∂z
        ∂e/∂s = (g - mean(g) - x̂ mean(g ∘ x̂)) / √(variance + ε), for RMS_NORM without mean(g).

        `jets`, `jets_backward`, `input_derivatives` and `hessian_product` are only called for plans
        without these. For layers
        that the plan calls ROUNDED, products with the weights are those of numpy_/bfloat16.py.
        SPARSE of layer 1 says that samples are sparse. Then steps change all of its weights
        (STORED), or only those rows for whose column the batch has an entry (TOUCHED), and the
        workspace has places for as many threads as call the function.
        INPUTS of row 0 is the address of a table of the parts of X, see basis/inputs.py. From a row
        of X, h_0 gets for each PLAIN part the numbers of its columns; for a FILLED one the same,
        with t_j in place of NaN in column j; and for a CATEGORY the row E_c of its table, where c
        is the code in its column, or the last row for other numbers than the known codes. Back from
        ∂e/∂h_0, which dropout of the input scales like h_0, ∂e/∂E_c and ∂e/∂t_j are sums over the
        rows of X that have the code c, or NaN in column j. Such plans are only used in `predict`,
        `forward`, `backward` without `errors`, `loss_and_gradient` and jobs.
        For a user-defined activation, the plan's column FUNCTION has the address of four
        addresses of C functions. The first one is called as ``function(s, h, n)``, with two
        pointers to reals and an int64; it sets h[:n] = σ(s[:n]). The others are called as
        ``function(s, h, d, n)`` and multiply d[:n] by σ'(s[:n]), σ''(s[:n]) and σ'''(s[:n]).
        They run in the kernel's mode for denormal numbers.
    loss : int
        Code of the loss, see spec.py. It implies the output activation, unless the plan has one of
        its own in the last row's PAIRED: then the loss is a function of the output h = σ(s_m), and
        ∂e/∂s_m = ∂e/∂h σ'(s_m). With spec.HEADS, e = Σ_k w_k e_k over heads: each is a loss of some
        of the outputs, with the output activation that it implies, and of some of the targets.
        Classes are rows of 0 and 1 in these. The output layer's H is scratch space then.
    loss_parameter : float
        The loss's parameter: huber's δ, quantile's q. For three losses, a parameter other than 0
        changes the reported value but not the gradient: log_loss (with targets 0 and 1) becomes
        -ln of the target's probability, computed as h or 1 - h and clipped to [parameter, 1 -
        parameter]; a sample's cross_entropy becomes at most the parameter; squared_error is
        multiplied by it. The other losses ignore it.
    function : int
        For the losses spec.STUDENT_T and spec.QUANTILES the address of float64 numbers: those of
        `numbers_of_student_t` in numpy_/distributions.py, and q of each output. For spec.HEADS also
        the address of float64 numbers: the number of heads, a line of spec.HEAD_COLUMNS for each
        head, and the numbers of their distributions, whose index among all of these HEAD_NUMBERS
        tells. If a head's HEAD_SUMS is not 0, it is the index of numbers to which jobs and
        `loss_and_gradient` add the head's Σ w e, one for each group of blocks. For the loss
        spec.CUSTOM the address of a C function, else 0. It is called as ``function(rows, n, stride,
        s, y, unwritten)``, with three int64 and three pointers to reals, for a thread's own rows of
        a block. Row r's outputs s and targets y are n numbers that start at r * stride. The
        function overwrites s with ∂e/∂s, y with the row's loss e followed by zeros, and the single
        number `unwritten` with 0. If `unwritten` is still 1 afterwards, the losses count as NaN.
    parameters : real array of shape (layout.n_parameters,)
        Weights, biases and other parameters, in rows padded with zeros, followed by the tables of
        learned inputs. In all that concerns steps, those count as biases of the first layer.
    """

    plan: Integers
    loss: int
    loss_parameter: float
    function: int
    parameters: Real


class Derivatives(NamedTuple):
    """The output of a backend's `per_sample`; empty if not wanted."""

    losses: Real
    gradients: Real
    errors: Real
    units: Real


class Backend(Protocol):
    """The functions of a backend; `fastbp.backends.get` returns an object with these."""

    name: str
    teams: bool  # whether several threads may run a job together

    def describe(self) -> str:
        """The library, its version and the CPU build that compute."""

    def finite(self, array: Real) -> bool:
        """Whether a C-contiguous array of any shape holds neither NaN nor infinities."""

    def activation(self, code: int, s: Real, out: Real) -> None:
        """An activation and its derivatives, elementwise.

        code : int
            Code of the activation, see spec.py.
        s : real array of shape (n,)
            Pre-activations. n must be a multiple of 16, so that they are whole vectors.
        out : real array of shape (4, n), C-contiguous, OUT
            σ(s), σ'(s), σ''(s) and σ'''(s).
        """

    def loss_hessian_product(self, model: Model, s: Real, y: Real, v: Real, out: Real) -> None:
        """The Hessian of each row's loss by the outputs' pre-activations, times a vector.

        out = (∂²e/∂s∂s) v, where ∂e/∂s is the row's delta. For cross_entropy, whose targets sum to
        1, out = p ∘ v - p (p · v) with p = softmax(s). The other losses treat each output by
        itself, so out = e''(s) v. With the output h, e'' is h (1 - h) for log_loss, 1 for
        squared_error and h for poisson. For huber it is 1 where |s - y| ≤ δ and 0 beyond. For
        absolute_error and quantile it is 0, at their kinks, too. Behind an output activation of its
        own (PAIRED), out = (e''(h) σ'(s)² + e'(h) σ''(s)) v. docs/mathematics.md has those of
        distributions. For a custom loss, whose second derivative is unknown, and for heads `out`
        becomes NaN; see ``Engine.check_second_derivative``.

        s : real array of shape (n, stride), C-contiguous, IN
            Pre-activations s_m, rows of n_m numbers at the stride of the plan's last layer. n must
            be a multiple of 16, so that they are whole vectors also with a single output.
        y : as s
            Targets. For cross_entropy they are ignored.
        v : as s
            The vectors.
        out : as s, OUT
            The products. If the padding of s, y and v is 0, so is that of `out`, up to the next
            whole vector; for losses of distributions it is not written.
        """

    def predict(self, model: Model, X: Real, block: int, workspace: Real, out: Real) -> None:
        """Forward pass: out = σ_m(... σ_1(X W_1 + b_1) ...).

        X : as ``Data.X``.
        out : real array of shape (n, n_m), C-contiguous, OUT
            h_m, such as probabilities.

        If X fits into one block, the workspace keeps the hidden layers' activations, see
        ``layout.layer_view``.
        """

    def forward(self, model: Model, X: Real, workspace: Real, out: Real) -> None:
        """`predict` with all rows in one block, with whose workspace `backward` continues.

        As a part of a step, it takes denormal numbers for zeros.

        workspace : real array of shape (layout.workspace_size(n),), OUT
            Keeps h_i and, where the plan has a place for it, s_i of the hidden layers; and s_m.
            See ``layout.layer_view``.
        """

    def backward(
        self,
        model: Model,
        X: Real,
        deltas: Real,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        errors: Real,
    ) -> None:
        """Derivatives of a function f of the outputs' pre-activations, after `forward`.

        It may be called several times, with other deltas; `model` and X are as in `forward`. To
        train, let `gradient` be that of a job and call the job's `update`. The bits are then those
        of the job's `run` with the same deltas.

        deltas : real array of shape (n, n_m), C-contiguous, IN, may be read-only
            ∂f/∂s_m of each row; a mean over rows has its factor 1 / n in here.
        workspace : real array of shape (layout.workspace_size(n),), IN-OUT
            As `forward` has left it; s_i and h_i stay.
        transposed : real array of shape (layout.n_all_transposed,), OUT
            Without `errors`, layout.n_transposed numbers are enough.
        gradient : real array of shape (layout.n_parameters,) or (0,), OUT
            ∂f/∂parameters: sums over the rows.
        errors : real array of shape (n, n_0) or (0, n_0), OUT
            ∂f/∂X.
        """

    def input_vjp(
        self,
        model: Model,
        X: Real,
        v: Real,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        errors: Real,
    ) -> None:
        """`forward` and `backward` of f = Σ v h_m at once, from ∂f/∂s_m = (∂h_m/∂s_m)ᵀ v.

        As a part of a step, it takes denormal numbers for zeros. The loss is not spec.HEADS.

        v : real array of shape (n, n_m), C-contiguous, IN, may be read-only
        workspace : real array of shape (layout.workspace_size(n),), destroyed
        transposed, gradient, errors : as in `backward`.
        """

    def loss_and_gradient(
        self,
        model: Model,
        data: Data,
        block: int,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        sums: NDArray[np.float64],
        stop: NDArray[np.int64],
        shared: NDArray[np.int64],
        threads: int,
        rank: int,
    ) -> float:
        """The weighted mean loss Σ w e / Σ w of all rows, and its gradient.

        They exclude penalties, and are zero if the weights sum to zero. If `gradient` and
        `transposed` are empty, only the loss is computed.

        stop : int64 array of shape (1,), IN
            Read before each block; once it is not zero, NaN is returned. NumPy's backend takes
            all rows at once and ignores it.
        shared : int64 array of shape (SHARED_SIZE,), destroyed
            The state that the threads of a team share, zero at first.
        threads, rank : int, IN
            The function is called in `threads` threads at the same time, with another rank in each:
            0, 1, ..., threads - 1. All of them return the loss.
        """

    def per_sample(
        self,
        model: Model,
        data: Data,
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

        Pass an empty array for each output that is not needed. If the input has learned numbers,
        `gradients` and `errors` are empty.

        model : as above, with the plan of a layout that keeps s beside h (``Layout.separate``).
        deltas : real array of shape (n, n_m) or (0, n_m), C-contiguous, IN, may be read-only
            If given, these are ∂f/∂s_m of a function f that is differentiated instead of the
            loss; labels, targets and `losses` are then ignored.
        transposed : real array of shape (layout.n_all_transposed,), OUT
        losses : real array of shape (n,) or (0,), OUT
            e of each row.
        gradients : real array of shape (n, layout.n_numbers) or (0, ...), OUT
            ∂e/∂W_1, ∂e/∂b_1, ∂e/∂W_2, ... of each row, concatenated without padding. Derivatives by
            a layer's other parameters follow those by its biases.
        errors : real array of shape (n, n_0) or (0, n_0), OUT
            ∂e/∂h_0.
        units : real array of shape (n, 4 Σ_{i>0} n_i) or (0, ...), OUT
            s_1, h_1, ∂e/∂h_1, ∂e/∂s_1, s_2, ... of each row, concatenated. ∂e/∂h_m is not
            written: no backend needs it to compute ∂e/∂s_m. With a normalisation, z takes the
            place of s.
        """

    def jets(
        self,
        model: Model,
        X: Real,
        directions: Real,
        seconds: int,
        block: int,
        workspace: Real,
        out: Real,
    ) -> None:
        """Derivatives of the outputs' pre-activations along straight lines through each row.

        A jet is a truncated Taylor series: a value h, its first derivatives h'_k in K directions,
        and S second derivatives h''. These are P = 1 + K + S sets of n rows, in that order. From
        h_0 = X, h'_0k = t_k and h''_0 = 0 it goes through the layers:

        s_i = h_{i-1} W_i + b_i, s'_ik = h'_{i-1,k} W_i, s''_i = h''_{i-1} W_i and
        h_i = σ(s_i), h'_ik = σ'(s_i) s'_ik, h''_ik = σ'(s_i) s''_ik + σ''(s_i) s'_ik².

        If there is one second derivative for all directions, it is the sum:
        h''_i = σ'(s_i) s''_i + σ''(s_i) Σ_k s'_ik².

        A normalisation comes before σ, see docs/mathematics.md, "Derivatives of normalised layers".
        A residual layer then adds its input: h_i += h_{i-1}, h'_ik += h'_{i-1,k} and
        h''_i += h''_{i-1}.

        model : as above, with the plan of ``Layout.for_derivatives``.
        directions : real array of shape (K, n, n_0) or (0, n, n_0), C-contiguous, IN, may be
            read-only
            t_k of each row. Empty means the K = n_0 unit vectors.
        seconds : int, IN
            S: K for a second derivative in each direction, 1 for their sum, 0 for none.
        block : int, IN
            Any number of rows that go through the network at a time.
        workspace : real array of shape (layout.jet_workspace_size(block, P),), OUT
            If X fits into one block, `jets_backward` continues with it.
        out : real array of shape (P, n, n_m), C-contiguous, OUT
            s_m, s'_m and s''_m.
        """

    def jets_backward(
        self,
        model: Model,
        X: Real,
        directions: Real,
        seconds: int,
        adjoints: Real,
        workspace: Real,
        transposed: Real,
        gradient: Real,
    ) -> None:
        """Derivatives of a function f of the outputs' jets by the parameters, after `jets`.

        It is called once, with the same arguments as `jets`, whose `block` was n. With the
        adjoints a = ∂f/∂s_i, a'_k = ∂f/∂s'_ik and a''_k = ∂f/∂s''_ik:

        ∂f/∂W_i = Σ_rows h_{i-1} ⊗ a + Σ_k (h'_{i-1,k} ⊗ a'_k + h''_{i-1,k} ⊗ a''_k) and
        ∂f/∂b_i = Σ_rows a. All of them go back through W_iᵀ, and then with s = s_{i-1}

        a''_k ← σ'(s) a''_k, a'_k ← σ'(s) a'_k + 2 σ''(s) s'_k a''_k,
        a ← σ'(s) a + Σ_k (σ''(s) s'_k a'_k + (σ''(s) s''_k + σ'''(s) s'_k²) a''_k).

        With one a'' for the sum of second derivatives, it takes the place of each a''_k, and
        σ''(s) s'' is counted once. The gradient has the derivatives by γ, β and slopes, too.

        adjoints : real array of shape (P, n, n_m), C-contiguous, IN, may be read-only
            a, a'_k and a''_k of s_m.
        workspace : real array of shape (layout.jet_workspace_size(n, P),), destroyed
            As `jets` has left it.
        transposed : real array of shape (layout.n_transposed,), OUT
        gradient : real array of shape (layout.n_parameters,), OUT
            ∂f/∂parameters: sums over the rows. Its padding must be zero on entry.
        """

    def input_derivatives(
        self,
        model: Model,
        X: Real,
        direction: Real,
        back: int,
        block: int,
        workspace: Real,
        transposed: Real,
        first: Real,
        second: Real,
    ) -> None:
        """First or second derivatives of the outputs h_m by the input.

        The way forward computes them as `jets` does. The way back takes A = ∂s_m/∂h_i from each
        output through the layers. Then ∂s_m/∂h_0 = A at i = 0, and with the forward derivatives
        s'_ik along the unit vectors ∂²s_m/∂h_0k² = Σ_i Σ_units A σ''(s_i) s'_ik². This goes forward
        once for each input, if second derivatives are wanted, and back once for each output.

        At the end, h' = (∂h/∂s) s' and h'' = (∂h/∂s) s'' + σ''(s) s'² for an elementwise σ_m. For
        softmax with p = h and v = (s' - <p, s'>)² + s'', h'' = p ∘ (v - <p, v>).

        model : as above, with the plan of ``Layout.for_derivatives``. The loss is not spec.HEADS.
        direction : real array of shape (n, n_0) or (0, n_0), C-contiguous, IN, may be read-only
            t of each row, for the first derivative along it alone (K = 1). Empty means the K = n_0
            unit vectors.
        back : int, IN
            1 for the way from the back, without a direction, in networks without normalisations,
            residual layers and prelu; 0 for the way forward.
        block : int, IN
            Any number of rows that go through the network at a time.
        workspace : real array of shape (layout.jet_workspace_size(block, sets),), destroyed
            Forward, sets = 1 + K + S with S second derivatives; from the back, sets = 1 + n_m, or
            1 + max(n_m, n_0) with second derivatives.
        transposed : real array of shape (layout.n_transposed_and_squares,) or (0,), OUT
            Empty for the way forward.
        first : real array of shape (n, n_m, K) or (0, n_m, K), C-contiguous, OUT
            ∂h_m/∂h_0 of each row, or (∂h_m/∂h_0) t. With second derivatives, it is destroyed; it
            is empty then if h_m = s_m.
        second : real array of shape (n, n_m, n_0), (n, n_m, 1) or (0, n_m, 1), C-contiguous, OUT
            ∂²h_m/∂h_0k², or their sum over k.
        """

    def sobolev_gradient(
        self,
        model: Model,
        data: Data,
        dy: Real,
        order: Integers,
        derivative_weight: float,
        back: bool,
        total: float,
        block: int,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        sums: NDArray[np.float64],
        first: int,
        last: int,
        stop: NDArray[np.int64],
    ) -> float:
        """Σ w (e + λ/2 Σ (∂s_m/∂h_0 - dy)²) / `total` over a batch, and its gradient.

        The inner sum is over the outputs and inputs whose derivative dy is known. Without
        `back`, this is `jets` with the n_0 unit vectors and `jets_backward`. With `back`, values
        go forward and A = ∂s_m/∂s_i back from each output, to the Jacobian J. Its adjoints
        G = λ w (J - dy) / `total` go forward as directions, a line for each output of a row:
        s'_i = h'_{i-1} W_i from h'_0 = G, and h'_i = σ'(s_i) s'_i. Then the gradient by W_i is
        Σ h_{i-1} ⊗ a + h'_{i-1} ⊗ A, where a is w ∂e/∂s_m / `total` at the output, and back through
        a layer a ← σ'(s) (a W_iᵀ) + σ''(s) Σ s' (A W_iᵀ), with s = s_{i-1}. So no value and no A
        is computed twice.

        model : as above, with the plan of ``Layout.for_derivatives``. The output activation is the
            identity. With `back`, there are no normalisations, residual layers and prelu.
        dy : real array of shape (n, n_m, n_0), C-contiguous, IN
            NaN where a derivative is unknown.
        order : int64 array of shape (rows,) or (0,), IN
            The rows of the batch; empty for all in their order. None has the weight 0.
        derivative_weight : float, IN
            λ.
        total : float, IN
            Σ w of the batch.
        block : int, IN
            Any number of rows that go through the network at a time.
        workspace : real array of shape (layout.jet_workspace_size(block, P),), destroyed
            P is 1 + n_m with `back`, else 1 + n_0.
        transposed : real array of shape (layout.n_all_transposed,), OUT
        gradient : real array of shape (layout.n_parameters,), OUT
            The gradient, if there are no groups; else space for that of a block. Its padding must
            be zero on entry.
        sums : float64 array of shape (groups, layout.line), OUT
            The gradient of each group and, as the last number of its line, its part of the result.
            No groups if the batch fits into one block.
        first, last : int, IN
            The groups to compute, of all that `sums` has a line for.
        stop : int64 array of shape (1,), IN
            Read before each block of a group; once it is not zero, NaN is returned.
        """

    def hessian_product(
        self,
        model: Model,
        data: Data,
        vector: Real,
        total: float,
        workspace: Real,
        transposed: Real,
        out: Real,
    ) -> None:
        """The Hessian of Σ w e / `total` by the parameters, times a vector (V, v) of that space.

        A prime is the derivative along the vector (Pearlmutter, 1994). Forward, from h'_0 = 0:
        s'_i = h'_{i-1} W_i + h_{i-1} V_i + v_i and h'_i = σ'(s_i) s'_i. At the output
        δ_m = w ∂e/∂s_m / `total` and δ'_m = w (∂²e/∂s_m∂s_m) s'_m / `total`. Back:
        g = W_i δ_i, g' = W_i δ'_i + V_i δ_i, δ_{i-1} = σ'(s) g and
        δ'_{i-1} = σ'(s) g' + σ''(s) s' g with s = s_{i-1}.
        The product is Σ_rows (h'_{i-1} ⊗ δ_i + h_{i-1} ⊗ δ'_i) for W_i and Σ_rows δ'_i for b_i.
        The vector moves γ, β and slopes, too, and the product has numbers for them.

        model : as above, with the plan of ``Layout.for_derivatives``. Its loss is not custom.
        vector : real array of shape (layout.n_parameters,), IN
            Laid out like the parameters, with zeros in the padding.
        workspace : real array of shape (layout.jet_workspace_size(n, 2),), destroyed
            All rows are in one block.
        transposed : real array of shape (2 * layout.n_transposed,), OUT
        out : real array of shape (layout.n_parameters,), OUT
            The product. Its padding must be zero on entry.
        """

    def loss_deltas(
        self,
        model: Model,
        data: Data,
        s: Real,
        block: int,
        workspace: Real,
        losses: Real,
        deltas: Real,
    ) -> None:
        """Each row's loss and its derivatives by given pre-activations of the outputs.

        data : Data, IN
            Labels or targets. Samples and weights are not read.
        s : real array of shape (n, n_m), C-contiguous, IN
            s_m.
        losses : real array of shape (n,), OUT
            e of each row.
        deltas : real array of shape (n, n_m), C-contiguous, OUT
            ∂e/∂s_m.
        """

    def job(
        self,
        model: Model,
        data: Data,
        *,
        batch_size: int,
        optimizer: int,
        hyper: NDArray[np.float64],
        layer_rules: NDArray[np.float64],
        sklearn_penalties: int,
        clip_norm: float,
        squares: NDArray[np.float64],
        decay: float,
        average: Real,
        signs: Real,
        seed: int,
        counters: NDArray[np.float64],
        state: Real,
        block: int,
        workspace: Real,
        transposed: Real,
        gradient: Real,
        sums: NDArray[np.float64],
        stop: NDArray[np.int64],
        shared: NDArray[np.int64],
    ) -> "Job":
        """A training, with all that stays the same from call to call.

        The job keeps the arrays, and sees what is written into them between its calls.

        batch_size : int, IN
            The rows of a step; the last step of an epoch may have fewer.
        optimizer : int, IN
            Code of the optimiser, see spec.py.
        hyper : float64 array of shape (6,), IN
            The hyper-parameters from ``Optimizer.hyper``; the first, the learning rate, is not
            read: `run` and `update` are given rates.
        layer_rules : float64 array of shape (m + 1, spec.RULES), C-contiguous, IN
            For each layer i > 0 the factors l1 and l2 of the penalties l1 Σ |W| + l2 / 2 Σ W²
            (weights, not biases), which are added to the loss of each batch, and whether the
            layer is frozen (not 0): its parameters then do not change. At least one layer must
            not be frozen.
        sklearn_penalties : int, IN
            1 for scikit-learn's convention: a batch's penalties are divided by its Σ w, and
            an epoch's loss is the mean of its batches' losses, weighted by their numbers of rows.
            0: penalties are independent of the batch, and batches' losses are weighted by Σ w.
        clip_norm : float, IN
            The largest norm of the gradient of all layers that are not frozen, penalties
            included; a larger gradient is scaled down to this norm.
        squares : float64 array of shape (layout.n_rows,) or (0,), destroyed
            Scratch space for clipping, zero at first; empty for no clipping.
        decay : float, IN
            The weight of the previous average in each step.
        average : real array of shape (layout.n_parameters,) or (0,), IN-OUT
            The exponential moving average of the parameters, which starts with the parameters
            after the first step; empty for none.
        signs : real array of shape (layout.n_parameters,) or (0,), IN
            1 where a weight must be at least 0, -1 where it must be at most 0, and 0 elsewhere.
            Each step ends with zeros in place of weights of the wrong sign, before they are
            averaged. Empty if no weight is constrained.
        seed : int, IN
            From 0 up to 2**63 - 1. The seed and the number of the step determine dropout. The
            model's plan has the rates.
        counters : float64 array of shape (threads, 3), C-contiguous, IN-OUT
            For each thread: steps done so far, β1^steps and β2^steps (0, 1, 1 at the start).
        state : real array of shape (slots, layout.n_parameters), C-contiguous, IN-OUT
            The optimiser's arrays, laid out like the parameters. Padding does not change.
        stop : int64 array of shape (1,), IN
            Read before each step; `run` ends once it is not zero.
        shared : int64 array of shape (SHARED_SIZE,), destroyed
            The state that the threads of a team share, zero at first.
        """


class Job(Protocol):
    """What `Backend.job` returns."""

    def take(self, data: Data) -> None:
        """Go on with other samples, when no thread is in `run`."""

    def run(
        self,
        order: Integers,
        epochs: int,
        rates: NDArray[np.float64],
        losses: NDArray[np.float64],
        rank: int,
    ) -> int:
        """Train for a number of epochs; return how many were finished.

        Fewer than requested means that `stop` was set or that a batch's loss was not finite.
        The parameters are then as before that batch; in the latter case, ``losses`` holds that
        loss as the first number of the next epoch.

        To train with several threads, as many as there are rows of `counters`, each calls this
        function at the same time with the same arrays and with its own rank; all calls return the
        same value. The result does not depend on the number of threads. NumPy's backend supports
        one thread only.

        order : int64 array of shape (epochs, any number) or of size 0, C-contiguous, IN
            The rows to train on, in order, one line per epoch. A line may omit or repeat rows.
            Empty means 0, 1, ..., n - 1 in each epoch. A batch is `batch_size` consecutive
            entries; the last batch of an epoch may be smaller.
        rates : float64 array of shape (steps of this call,) or (1,), IN
            The learning rate of each step, or one for all steps.
        losses : float64 array of shape (epochs,) or (epochs * (1 + heads),), OUT
            Per epoch, Σ w e / Σ w with each batch's loss before its step, plus the mean of the
            penalties, weighted by rows. If there are places for heads, this is followed by Σ w e_k
            / Σ w of each head; its sums must have places, which are 0 again after each batch.
        rank : int, IN
            The number of this thread in the team: 0, 1, ...
        """

    def update(self, rate: float, total: float = 1.0) -> None:
        """One step with the gradient that is in the job's `gradient`, as `run` takes it.

        That is clipping, penalties, optimiser, frozen layers and average, in one thread. The
        gradient, without penalties, is destroyed.

        rate : float
            The learning rate.
        total : float
            The batch's Σ w. If `sklearn_penalties` is 1, penalties are divided by it.
        """
