"""Network: a feed-forward network and its training.

The only place that validates, allocates, draws random numbers and calls a backend.
"""

import copy
import math
import warnings
from collections import deque

import numpy as np

from . import backends, checks, layout, optimizers, regularizers, spec, teams
from .custom import CustomLoss
from .inspection import Inspection
from .parameters import Gradient, Parameters
from .training import (
    FLOPS_PER_SECOND,
    INLINE_SECONDS,
    Data,
    Training,
    TrainingDiverged,
)

# Predictions of at most this many rows keep their workspace for the next one.
FEW_ROWS = 16


class Network(Inspection):
    r"""A feed-forward network h_i = σ_i(h_{i-1} W_i + b_i), i = 1..m, trained by backpropagation.

    Parameters
    ----------
    layer_sizes : sequence of int
        Number of features, widths of the hidden layers (if any), number of outputs.
        Without hidden layers this is linear regression (loss "squared_error") or logistic
        regression ("log_loss", "cross_entropy").
    activation : str or sequence of str, default="relu"
        Function of the hidden layers, one for all or one each: identity, sigmoid, tanh,
        relu, leaky_relu (slope 0.01), elu, softplus, silu, gelu (exact form).
    loss : str or callable
        What to minimise. It brings its own output activation h = h_m of s = s_m; a sample's
        loss e sums over its outputs, and the loss of several samples is their weighted
        mean Σ w e / Σ w.

        - "log_loss": sigmoid; e = -y ln h - (1 - y) ln(1 - h), y in [0, 1]. One output is
          binary classification, several are multi-label.
        - "cross_entropy": softmax; e = -Σ_j y_j ln h_j; y are labels 0..n_m - 1 or rows
          that sum to 1.
        - "squared_error": identity; e = ½ (h - y)².
        - "absolute_error": identity; e = \|h - y\|.
        - "huber": identity; e = ½ d² where d = h - y is at most δ in size, δ \|d\| - ½ δ²
          beyond.
        - "poisson": exp; e = h - y + y ln(y / h), half the Poisson deviance, y ≥ 0.
        - "quantile": identity; e = (1 - q) d where d = h - y is positive, -q d where not (the
          pinball loss), whose minimum is the quantile q of y.

        A function is called as ``loss(h, y)`` with outputs (identity) and targets of some
        samples, in arrays of shape (n, n_m), and returns their losses e, of shape (n,), and
        ∂e/∂h, of shape (n, n_m). Each sample's must depend on its own h and y only. One
        compiled by ``numba.njit`` stays compiled on every backend.
    loss_parameter : float, optional
        huber's δ > 0 (default 1) or quantile's q in (0, 1) (default 0.5, the median).
    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and computation.
    seed : int or None, default=None
        Seed of the initial weights and of the shuffling in `fit`. The same seed and calls
        give the same result on the same backend. None draws a seed from the system.
    backend : {"auto", "cython", "numba", "numpy"} or None, default=None
        What computes. None stands for the environment variable FASTBP_BACKEND, else "auto":
        Cython if it is built, else Numba.

    Attributes
    ----------
    weights, biases : list of ndarray
        Layer i's are entry i - 1, of shapes (n_{i-1}, n_i) and (n_i,): views that can be
        written to. ``net.weights[i] = array`` checks shape and values.
    loss_parameter : float or None
        The loss's parameter, None if it has none.
    backend : str
        Name of the backend in use.

    Notes
    -----
    Weights start uniform in ±√(6 / (n_{i-1} + n_i)) (Glorot and Bengio, AISTATS 2010) before
    identity, sigmoid, tanh and output layers, and in ±√(6 / n_{i-1}) (He et al., ICCV 2015)
    before relu and its relatives; biases start at zero.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> net = fastbp.Network([2, 8, 1], activation="tanh", loss="log_loss", seed=0)
    >>> history = net.fit(X, [0, 1, 1, 0], optimizer=fastbp.Adam(0.05), epochs=200)
    >>> net.predict(X).round().ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """

    def __init__(
        self,
        layer_sizes,
        *,
        activation="relu",
        loss,
        loss_parameter=None,
        dtype="float32",
        seed=None,
        backend=None,
    ):
        sizes = checks.layer_sizes(layer_sizes)
        known = not callable(loss)
        self._loss = spec.choose("loss", loss, spec.LOSSES) if known else spec.CUSTOM_LOSS
        if loss == "cross_entropy" and sizes[-1] == 1:
            raise ValueError(
                "cross_entropy needs at least 2 outputs (a softmax of one unit is always 1); "
                "for two classes use log_loss with 1 output, or 2 outputs"
            )
        self.loss = loss
        self.loss_parameter = checks.loss_parameter(loss_parameter, loss, self._loss)
        self._loss_parameter = self.loss_parameter or 0.0
        self.layout = layout.Layout(
            sizes, spec.hidden_activations(activation, len(sizes) - 2), checks.dtype(dtype)
        )
        self._random = np.random.default_rng(checks.seed(seed))
        self._use(backend)
        self._forget()
        self._parameters = self.layout.zeros(self.layout.n_parameters)
        for weights, bound in zip(self.weights, self._initial_bounds(), strict=True):
            weights[...] = self._random.uniform(-bound, bound, weights.shape)

    def _use(self, backend):
        self._backend = backends.get(backend)
        self.backend = self._backend.name

    def _initial_bounds(self):
        """The half-widths of the intervals from which initial weights are drawn."""
        sizes = self.layout.sizes
        rules = [spec.ACTIVATIONS[name].initialization for name in self.layout.activations]
        for fan_in, fan_out, rule in zip(sizes, sizes[1:], [*rules, "glorot"], strict=False):
            yield math.sqrt(6 / (fan_in if rule == "he" else fan_in + fan_out))

    def __repr__(self):
        hidden = f", activation={list(self.layout.activations)}" if self.layout.activations else ""
        return (
            f"Network({list(self.layout.sizes)}{hidden}, loss={self.loss!r}, "
            f"dtype={self.layout.dtype.name!r}, backend={self.backend!r})"
        )

    def _forget(self):
        """Set up what no copy takes over: a loss as a C function, workspaces, online training."""
        self._custom = None
        if self._loss is spec.CUSTOM_LOSS:
            self._custom = CustomLoss(self.loss, self.layout.sizes[-1], self.layout.dtype)
        self._function = self._custom.address if self._custom else 0
        self._workspaces: deque = deque(maxlen=8)
        self._online: Training | None = None

    def __getstate__(self):
        left_out = ("_backend", "_custom", "_function", "_workspaces", "_online")
        return {key: value for key, value in self.__dict__.items() if key not in left_out}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._loss = spec.LOSSES.get(self.loss, spec.CUSTOM_LOSS)
        self._use(state["backend"])
        self._forget()

    @property
    def weights(self):
        return Parameters("weights", layout.views(self.layout.plan, self._parameters)[0])

    @property
    def biases(self):
        return Parameters("biases", layout.views(self.layout.plan, self._parameters)[1])

    def to_backend(self, backend):
        """A copy of this network, weights and random state included, on another backend.

        Parameters
        ----------
        backend : {"auto", "cython", "numba", "numpy"} or None
            As for `Network`.

        Returns
        -------
        Network
        """
        other = copy.deepcopy(self)
        other._use(backend)
        return other

    def predict(self, X):
        """The network's output: probabilities or values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m)
            h_m, of the network's dtype.
        """
        X = checks.samples(X, self.layout.sizes[0], self.layout.dtype, finite=self._backend.finite)
        self._check_parameters()
        return self._outputs(X)

    def _outputs(self, X):
        """The output for checked X."""
        layout = self.layout
        out = np.empty((len(X), layout.sizes[-1]), layout.dtype)
        few = len(X) <= FEW_ROWS
        # Several threads may predict at once; each takes a workspace that no other one has.
        if few and self._workspaces:
            workspace = self._workspaces.pop()
            block = FEW_ROWS
        else:
            block = FEW_ROWS if few else layout.block_rows(len(X))
            workspace = layout.zeros(layout.workspace_size(block))
        self._backend.predict(
            layout.plan, self._loss.code, self._parameters, X, block, workspace, out
        )
        if few:
            self._workspaces.append(workspace)
        return out

    def loss_and_gradient(self, X, y, sample_weight=None):
        """The mean loss and its gradient with respect to weights and biases.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        loss : float
            Σ w e / Σ w, without penalty.
        gradient : Gradient
            ``gradient.weights`` and ``gradient.biases``: lists of arrays shaped like those
            of the network.
        """
        self._check_parameters()
        data = self._data(X, y, sample_weight)
        gradient = self.layout.zeros(self.layout.n_parameters)
        loss = self._loss_and_gradient(data, gradient)
        return loss, Gradient(*layout.views(self.layout.plan, gradient))

    def fit(
        self,
        X,
        y,
        *,
        optimizer=None,
        epochs=20,
        batch_size=32,
        sample_weight=None,
        l1=0.0,
        l2=0.0,
        dropout=0.0,
        clip_norm=None,
        label_smoothing=0.0,
        average=None,
        frozen=(),
        validation_data=None,
        shuffle=True,
        threads=None,
        progress=False,
    ):
        """Train on (X, y); the weights are changed in place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.
        optimizer : Optimizer, default=Adam()
            How to step, for example ``fastbp.SGD(0.1, momentum=0.9)``. Its state starts anew
            with each call.
        epochs : int, default=20
            How often to go through the data.
        batch_size : int or None, default=32
            Samples a step; the last batch of an epoch may be smaller. None, or anything not
            below n_samples, takes all at once.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero; a batch's loss is Σ w e / Σ w over the batch.
        l1, l2 : float or sequence of float, default=0.0
            Add l1 Σ |W| + l2 / 2 Σ W² over all weights, not biases, to the loss of every
            batch; a number for all layers, or one for each entry of ``weights``.
        dropout : float or sequence of float, default=0.0
            The rate at which units are left out of a step, each time drawn anew, while the
            others are scaled up by 1 / (1 - rate): one for all hidden layers, or one each,
            with another one for the input before them or not.
        clip_norm : float, optional
            The largest Euclidean norm of a step's gradient, over all weights and biases and
            penalties included; larger ones are scaled down to it.
        label_smoothing : float, default=0.0
            Share of the targets of cross_entropy and log_loss that is spread evenly over the
            classes, in [0, 1).
        average : EMA or SWA, optional
            Average the weights over training; the network ends with the average, and the
            validation loss is that of the average.
        frozen : sequence of int, default=()
            Indices of entries of ``weights`` and ``biases`` that are left as they are.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Data on which to compute the loss after each epoch.
        shuffle : bool, default=True
            Draw a new order of the samples for each epoch.
        threads : int, optional
            Threads to train with; the result does not depend on it, to the last bit. By
            default as many as a step has work for and as are free, often one. The NumPy
            backend always takes one.
        progress : bool, default=False
            Show a progress bar.

        Returns
        -------
        History
            Losses by epoch. After Ctrl-C: of the epochs finished by then, with
            ``interrupted`` set and a warning; the network has the weights of the last step, or
            their average up to then.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged.
        TrainingDiverged
            If loss or weights stop being finite; the weights of that moment are kept.
        """
        self._check_parameters()
        data = self._data(X, y, sample_weight)
        classes = self.layout.sizes[-1]
        labels, targets = regularizers.smooth(data[1:3], classes, self.loss, label_smoothing)
        data = data._replace(labels=labels, targets=targets)
        validation = None if validation_data is None else self._validation(validation_data)
        optimizer = optimizers.checked(optimizer)
        epochs = checks.whole_number("epochs", epochs)
        n = len(data.X)
        batch_size = n if batch_size is None else checks.whole_number("batch_size", batch_size)
        batch_size = min(batch_size, n)
        if optimizer.full_batch_only and batch_size < n:
            raise ValueError(
                f"{type(optimizer).__name__} works on the full batch only; pass batch_size=None"
            )
        rules = regularizers.checked(
            len(self.weights),
            l1=l1,
            l2=l2,
            frozen=frozen,
            dropout=dropout,
            clip_norm=clip_norm,
            average=average,
        )
        # The order of a full batch does not matter.
        shuffle = checks.flag("shuffle", shuffle) and batch_size < n
        progress = checks.flag("progress", progress)
        if threads is not None:
            threads = checks.whole_number("threads", threads)
        threads = self._threads(threads, batch_size)
        seed = int(self._random.integers(2**63)) if rules.dropout else 0
        training = Training(self, data, optimizer, batch_size, rules, threads, seed=seed)

        def draw():
            return self._random.permutation(n)

        def validate():
            return self._validation_loss(validation)

        try:
            history = training.all_epochs(
                epochs, draw if shuffle else None, validate if validation else None, progress
            )
        finally:  # after an overflow, 0 * inf may have left NaN there
            self.layout.clear_padding(self._parameters)
        if history.interrupted:
            warnings.warn(
                f"training interrupted after {len(history.loss)} of {epochs} epochs",
                RuntimeWarning,
                stacklevel=2,
            )
        if not self._backend.finite(self._parameters):
            raise TrainingDiverged(len(history.loss), "the weights are not finite", history)
        return history

    def fit_step(self, X, y, *, optimizer=None, sample_weight=None):
        """One step of training on one batch, for data that arrives bit by bit.

        The optimiser's state is kept from call to call, until another optimiser is passed; `fit`
        does not touch it. A copy of the network (copy, pickle, `to_backend`) begins anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
            The batch, often a single row.
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.
        optimizer : Optimizer, optional
            How to step; by default as in the last call, Adam() in the first.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        float
            The batch's loss before the step.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged.
        TrainingDiverged
            If the loss or the weights are not finite.
        """
        data = self._data(X, y, sample_weight)
        online = self._online
        if online is None or (optimizer is not None and optimizer != online.optimizer):
            rules = regularizers.checked(len(self.weights))
            online = Training(self, data, optimizers.checked(optimizer), len(data.X), rules, 1)
            self._online = online
        return online.step(data)

    def _threads(self, threads, batch_size):
        """How many threads to train with, None being for as many as are worth it."""
        if not self._backend.teams:
            return 1
        if threads is not None:
            return threads
        flops = self.layout.flops_per_row * batch_size
        return teams.automatic(flops, max(self.layout.sizes[:-1]))

    def _check_parameters(self):
        if not self._backend.finite(self._parameters):
            raise ValueError("the network's weights or biases have NaN or infinite values")

    def _data(self, X, y, sample_weight, names=("X", "y", "sample_weight")):
        sizes, dtype = self.layout.sizes, self.layout.dtype
        X = checks.samples(X, sizes[0], dtype, names[0], self._backend.finite)
        labels, targets = checks.targets(
            y, len(X), sizes[-1], self.loss, self._loss, dtype, names[1]
        )
        weight = checks.weights_of_samples(sample_weight, len(X), dtype, names[2])
        return Data(X, labels, targets, weight)

    def _validation(self, validation_data):
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise TypeError("validation_data must be (X, y) or (X, y, sample_weight)")
        X, y, *rest = validation_data
        names = ("validation X", "validation y", "validation sample_weight")
        return self._data(X, y, rest[0] if rest else None, names)

    def _validation_loss(self, data):
        """The loss on checked data, in slices short enough for Ctrl-C to come between."""
        rows = max(1, int(INLINE_SECONDS * FLOPS_PER_SECOND / self.layout.flops_per_row))
        nothing = np.empty(0, self.layout.dtype)
        numerator = denominator = 0.0
        for start in range(0, len(data.X), rows):
            part = Data(*(array[start : start + rows] for array in data))
            weight = part.sample_weight
            total = float(weight.sum(dtype=np.float64)) if weight.size else float(len(part.X))
            numerator += total * self._loss_and_gradient(part, nothing)
            denominator += total
        return numerator / denominator

    def _loss_and_gradient(self, data, gradient):
        """The loss on checked data; fills `gradient` unless that is empty."""
        block = self.layout.block_rows(len(data.X))
        loss = self._backend.loss_and_gradient(
            self.layout.plan,
            self._loss.code,
            self._loss_parameter,
            self._function,
            self._parameters,
            *data,
            block,
            self.layout.zeros(self.layout.workspace_size(block)),
            self.layout.zeros(self.layout.n_transposed),
            gradient,
        )
        if not math.isfinite(loss):
            self._raise_error(data)
        return loss

    def _raise_error(self, data):
        """Raise what a loss function of the user's raised."""
        if self._custom:
            self._custom.raise_error(self._outputs(data.X), data.targets)
