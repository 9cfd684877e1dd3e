"""Network: a feed-forward network and its training.

The only place that validates, allocates, draws random numbers and calls a backend.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from .. import backends
from ..basis import checks, layout, spec, teams
from ..engine.custom import CustomLoss
from ..engine.parameters import Gradient, Parameters
from ..exchange import Exchange
from ..rules import regularizers
from ..training import fitting
from ..training.run import Data, Training, run, slices
from .copying import Copying
from .inspection import Inspection
from .online import Online
from .saving import Persistence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from ..basis.annotations import (
        Activation,
        ByLayer,
        ClassWeight,
        Floats,
        Loss,
        Samples,
        Scoring,
        StrPath,
    )
    from ..rules.optimizers import Optimizer
    from ..rules.regularizers import EMA, SWA
    from ..rules.schedules import Schedule
    from ..training.callbacks import CallbackLike
    from ..training.run import History

# Predictions of at most this many rows keep their workspace for the next one.
FEW_ROWS = 16
# What messages call the samples.
NAMES = ("X", "y", "sample_weight")


class Network(Copying, Exchange, Inspection, Online, Persistence):
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
        layer_sizes: Sequence[int],
        *,
        activation: Activation = "relu",
        loss: Loss,
        loss_parameter: float | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        backend: str | None = None,
    ) -> None:
        sizes = checks.layer_sizes(layer_sizes)
        self.loss, self._loss = loss, spec.loss_of(loss)
        if self._loss_key == "cross_entropy" and sizes[-1] == 1:
            raise ValueError(
                "cross_entropy needs at least 2 outputs (a softmax of one unit is always 1); "
                "for two classes use log_loss with 1 output, or 2 outputs"
            )
        self.loss_parameter = checks.loss_parameter(loss_parameter, self._loss_key, self._loss)
        self._loss_parameter = self.loss_parameter or 0.0
        self.layout = layout.Layout(
            sizes, spec.hidden_activations(activation, len(sizes) - 2), checks.dtype(dtype)
        )
        self._random = np.random.default_rng(checks.seed(seed))
        self._use(backend)
        self._forget()
        self._parameters = self.layout.zeros(self.layout.n_parameters)
        for weights, bound in zip(self.weights, self.layout.initial_bounds, strict=True):
            weights[...] = self._random.uniform(-bound, bound, weights.shape)

    def _use(self, backend):
        self._backend = backends.get(backend)
        self.backend = self._backend.name

    def __repr__(self):
        hidden = f", activation={list(self.layout.activations)}" if self.layout.activations else ""
        return (
            f"Network({list(self.layout.sizes)}{hidden}, loss={self.loss!r}, "
            f"dtype={self.layout.dtype.name!r}, backend={self.backend!r})"
        )

    def _forget(self):
        """Set up what no copy takes over, see copying.py."""
        self._custom = None
        if self._loss is spec.CUSTOM_LOSS:
            self._custom = CustomLoss(self.loss, self.layout.sizes[-1], self.layout.dtype)
        self._function = self._custom.address if self._custom else 0
        self._workspaces: deque = deque(maxlen=8)
        self._online: Training | None = None

    @classmethod
    def _new(cls, *arguments, **settings):
        """A network of this class, without its own `__init__`, which may take anything."""
        made = cls.__new__(cls)
        Network.__init__(made, *arguments, **settings)
        return made

    @property
    def _loss_key(self):
        """The loss's name; "a function" for those, which may compare and hash as they like."""
        return "a function" if self._loss is spec.CUSTOM_LOSS else self.loss

    def _apart(self, array):
        """The array, or a copy if it lies in the parameters, which training changes."""
        inside = array.base is not None and np.may_share_memory(array, self._parameters)
        return array.copy() if inside else array

    @property
    def weights(self) -> Parameters:
        return Parameters("weights", layout.views(self.layout.plan, self._parameters)[0])

    @property
    def biases(self) -> Parameters:
        return Parameters("biases", layout.views(self.layout.plan, self._parameters)[1])

    def predict(self, X: ArrayLike) -> Floats:
        """The network's output: probabilities or values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m)
            h_m, of the network's dtype; infinite or NaN where it is too large for that.
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
        parts = [(X, out)] if few else [(X[rows], out[rows]) for rows in slices(self, len(X))]
        for rows, outputs in parts:
            self._backend.predict(
                layout.plan, self._loss.code, self._parameters, rows, block, workspace, outputs
            )
        if few:
            self._workspaces.append(workspace)
        return out

    def loss_and_gradient(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Gradient]:
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
        X: ArrayLike,
        y: ArrayLike,
        *,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        epochs: int = 20,
        batch_size: int | None = 32,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        l1: ByLayer = 0.0,
        l2: ByLayer = 0.0,
        dropout: ByLayer = 0.0,
        clip_norm: float | None = None,
        label_smoothing: float = 0.0,
        average: EMA | SWA | None = None,
        frozen: Sequence[int] = (),
        validation_data: Samples | None = None,
        scoring: Scoring | None = None,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str = "validation_loss",
        callbacks: Sequence[CallbackLike] = (),
        shuffle: bool = True,
        threads: int | None = None,
        progress: bool = False,
        resume_from: StrPath | None = None,
    ) -> History:
        r"""Train on (X, y); the weights are changed in place.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.
        optimizer : Optimizer, default=Adam()
            How to step, for example ``fastbp.SGD(0.1, momentum=0.9)``. Its state starts anew
            with each call.
        schedule : Schedule, optional
            How the optimiser's rate changes in the course of training, for example
            ``fastbp.CosineDecay(warmup=0.1)``.
        epochs : int, default=20
            How often to go through the data.
        batch_size : int or None, default=32
            Samples a step; the last batch of an epoch may be smaller. None, or anything not
            below n_samples, takes all at once.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero; a batch's loss is Σ w e / Σ w over the batch. A row of
            weight 0 keeps its place in its batch and adds exactly 0, even if its own loss
            overflows. A batch without any weight has loss 0 and gradient 0: its step is that of
            the penalties, and of the optimiser's momentum.
        class_weight : "balanced" or dict, optional
            For cross_entropy and log_loss, with labels: what the weights of samples of each
            class are multiplied by; classes that a dict does not name, by 1. "balanced" is what
            ``sklearn.utils.class_weight.compute_sample_weight`` says.
        l1, l2 : float or sequence of float, default=0.0
            Add l1 Σ \|W\| + l2 / 2 Σ W² over all weights, not biases, to the loss of every
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
        scoring : str, callable, list or dict of these, optional
            What to score the validation data with after each epoch: names of scikit-learn's
            scorers, or ``scorer(estimator, X, y)``, which returns a number; a dict has the names
            for ``history.scores``. NaN is noted, and is never an improvement.
        patience : int, optional
            End the training after so many epochs in a row without improvement, and go back to
            the best weights, see `EarlyStopping`.
        min_delta : float, default=0.0
            By how much an epoch has to be better than the best before, to count as improvement.
        monitor : str, default="validation_loss"
            What has to improve: a loss, or the name of a score.
        callbacks : list of Callback, default=()
            What else to call before, between and after the epochs, see `Callback`.
        shuffle : bool, default=True
            Draw a new order of the samples for each epoch.
        threads : int, optional
            Threads to train with, at most 1024; the result does not depend on it, to the last
            bit. By default as many as a step has work for and as are free, often one. The NumPy
            backend always takes one.
        progress : bool, default=False
            Show a progress bar.
        resume_from : str or path-like, optional
            A checkpoint to go on from, see `Checkpoint`: the other arguments are those of that
            training, and `epochs` counts from its beginning.

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
            If loss or weights stop being finite; the weights of that moment are kept, or with
            early stopping the best ones.
        """
        self._check_parameters()
        data = self._data(
            X, y, sample_weight, class_weight=class_weight, label_smoothing=label_smoothing
        )
        samples = fitting.Rows(data, batch_size, shuffle)
        control = fitting.control(
            self,
            epochs=epochs,
            optimizer=optimizer,
            schedule=schedule,
            validation=self._validation(validation_data),
            scoring=scoring,
            patience=patience,
            min_delta=min_delta,
            monitor=monitor,
            callbacks=callbacks,
            progress=progress,
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
        return fitting.fit(self, samples, control, rules, threads, resume_from=resume_from)

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

    def _validation(self, given):
        """What users pass as validation_data as the backends take it, or None."""
        if given is None:
            return None
        called = ("validation X", "validation y", "validation sample_weight")
        return self._data(*fitting.parts("validation_data", given), names=called)

    def _data(
        self,
        X,
        y,
        sample_weight,
        *,
        names=NAMES,
        class_weight=None,
        label_smoothing=0.0,
        rows=None,
        part=False,
    ):
        """Samples as the backends take them; balanced class weights are those of some rows.

        If they are only a part of a training's, they may all have the weight 0.
        """
        sizes, dtype = self.layout.sizes, self.layout.dtype
        X = checks.samples(X, sizes[0], dtype, names[0], self._backend.finite)
        labels, targets = checks.targets(
            y, len(X), sizes[-1], self._loss_key, self._loss, dtype, names[1]
        )
        weight = checks.weights_of_samples(sample_weight, len(X), dtype, names[2], part)
        if class_weight is not None:
            factors = checks.class_weights(class_weight, self._loss_key, labels, targets, rows)
            weight = factors * weight if weight.size else factors
            weight = checks.weights_of_samples(weight, len(X), dtype, "class_weight", part)
        if type(label_smoothing) is not float or label_smoothing != 0:
            labels, targets = regularizers.smooth(
                (labels, targets), sizes[-1], self._loss_key, label_smoothing
            )
        return Data(*map(self._apart, (X, labels, targets, weight)))

    def _loss_and_gradient(self, data, gradient):
        """The loss on checked data; fills `gradient` unless that is empty."""
        block = self.layout.block_rows(len(data.X))
        arguments = (
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
        call = functools.partial(self._backend.loss_and_gradient, *arguments)
        loss = run(self, call, len(data.X))
        if not math.isfinite(loss):
            self._raise_error(data)
        return loss

    def _raise_error(self, data):
        """Raise what a loss function of the user's raised."""
        if self._custom:
            self._custom.raise_error(self._outputs(data.X), data.targets)
