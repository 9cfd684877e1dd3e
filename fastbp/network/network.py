"""Network, the public class of feed-forward networks.

Its methods check their arguments and delegate to the engine, which computes, or to another room.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, Never, Self, Unpack

import numpy as np

from ..backends import get
from ..basis import checks
from ..basis.names import keywords, refuse, without_unknown
from ..engine.engine import Engine
from ..engine.parameters import Gradient, Parameters
from ..rules.regularizers import regularizers_of
from ..training import control as control_
from ..training import derivatives, fitting, sources
from ..training.online import Online, continued
from . import layers
from .derivatives import Differentiable
from .exchangeable import Exchangeable
from .forward import ForwardPass
from .uncertainty import Uncertain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from ..basis.annotations import (
        Activation,
        Backend,
        ByLayer,
        ClassWeight,
        Floats,
        Head,
        Loss,
        Matrix,
        Predictions,
        Samples,
        Scorer,
        Scoring,
        StrPath,
    )
    from ..basis.inputs import Categorical, Numeric
    from ..basis.layout import Layout
    from ..rules.optimizers import Optimizer
    from ..rules.regularizers import EMA, SWA
    from ..rules.schedules import Schedule
    from ..training.callbacks import CallbackLike
    from ..training.history import History
    from ..training.options import BatchOptions
    from ..training.streaming import Stream
    from .summary import Summary
    from .trace import Trace


class Network(Differentiable, Exchangeable, Uncertain):
    r"""A feed-forward network h_i = σ_i(h_{i-1} W_i + b_i), i = 1..m, trained by backpropagation.

    Parameters
    ----------
    layer_sizes : sequence of int
        Number of features, widths of the hidden layers (if any), number of outputs. The first entry
        may be a list of inputs, of `Numeric` and `Categorical`, if some of the columns of X are
        categories or have missing numbers: ``[[Numeric(10), Categorical(7)], 64, 1]``.
        Without hidden layers this is linear regression (loss "squared_error") or logistic
        regression ("log_loss", "cross_entropy").
    activation : str, Activation or sequence of these, default="relu"
        Activation of the hidden layers, one for all or one for each: identity, sigmoid, tanh,
        relu, leaky_relu (slope 0.01), elu, softplus, silu, gelu (exact form), sin, hard_tanh,
        selu, mish. An `Activation` holds functions of your own.
        "prelu" is max(s, 0) + a min(s, 0) with a slope a for each unit, which is learned and begins
        at 0.25 (He et al., ICCV 2015).
    loss : str, callable, list of tuple or None
        The loss to minimise. It has a canonical output activation, which computes h = h_m from
        s = s_m. A sample's loss e is the sum over its outputs. The loss of several samples is
        their weighted mean Σ w e / Σ w.

        - "log_loss": sigmoid; e = -y ln h - (1 - y) ln(1 - h), y in [0, 1]. One output is
          binary classification, several are multi-label.
        - "cross_entropy": softmax; e = -Σ_j y_j ln h_j; y are labels 0..n_m - 1 or rows
          that sum to 1.
        - "squared_error": identity; e = ½ (h - y)².
        - "absolute_error": identity; e = \|h - y\|.
        - "huber": identity; with d = h - y, e = ½ d² if \|d\| is at most δ, else
          e = δ \|d\| - ½ δ².
        - "poisson": exp; e = h - y + y ln(y / h), half the Poisson deviance, y ≥ 0.
        - "quantile": identity; with d = h - y, e = (1 - q) d if d is positive, else e = -q d
          (the pinball loss). Its minimum is the quantile q of y. With a list of several q, e is the
          mean of their losses. There are as many outputs, and one target: the first output is the
          first quantile, and each later quantile is ln(1 + exp(s)) above the one before.

        Further losses are negative log likelihoods of one target. The outputs are the parameters of
        its distribution, and `predict` returns its mean.

        - "gaussian": 2 outputs, mean and log variance.
        - "student_t": 2 outputs, location and log scale; ν degrees of freedom.
        - "laplace": 2 outputs, location and log scale.
        - "negative_binomial": 2 outputs, log mean ln m and log dispersion ln α; y are counts, and
          their variance is m + α m².
        - "mixture_density": 3 K outputs; K logits of the shares, means and log scales of normal
          distributions.

        A function is called as ``loss(h, y)`` with outputs (of the identity) and targets of some
        samples, both of shape (n, n_m). It must return the samples' losses e, of shape (n,), and
        ∂e/∂h, of shape (n, n_m); each row must depend only on the same sample's h and y. A
        function compiled by ``numba.njit`` is called without Python on every backend.

        A list of tuples ``(name, n_outputs)`` or ``(name, n_outputs, loss_parameter)`` makes a
        network with several heads: the first head has the first outputs, and so on. With the loss
        e_k of head k, which is that of a network with this loss alone, e = Σ_k w_k e_k; w_k is in
        ``loss_weights``. `predict` returns a tuple of what such networks predict, and y is a tuple
        of their targets.

        None makes a network without a loss, which ``output_activation`` needs. It predicts, and is
        trained by `forward`, `ForwardPass.backward` and `apply_gradient`; what needs a loss, such
        as `fit`, raises a ValueError.
    loss_parameter : float or sequence of float, optional
        δ > 0 of huber (default 1); q in (0, 1) of quantile (default 0.5, the median), or several
        q in rising order; ν > 0 of student_t (default 5); the number K of components of
        mixture_density (default 5).
    loss_weights : sequence of float, optional
        w_k > 0 of each head; by default 1.
    output_activation : str, optional
        The output activation σ_m; by default the loss's canonical one. With another one, the chain
        rule is ∂e/∂s = ∂e/∂h σ'(s). squared_error, absolute_error, huber, quantile and functions
        may have any activation of hidden layers, such as sigmoid or tanh; poisson may have softplus
        and identity (its loss is NaN where h is negative). Without a loss, it is one of these, exp
        or softmax.
    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and computation.
    compute_dtype : {None, "bfloat16"}, default=None
        "bfloat16" rounds the operands of matrix products to bfloat16, which has 8 significant bits.
        Products are added up in float32, and weights, gradients and optimisers stay in float32,
        the `dtype` that this needs. It is meant for processors with AMX tiles; elsewhere the same
        numbers are emulated, slower than in float32.
    monotonic_cst : array-like of int of shape (n_0,), optional
        1 for each feature with which the output must rise, -1 where it must fall, and 0 where it is
        free, as scikit-learn has it. It holds for every weight that training can reach, see Notes.
        Such a network has one output, and activations that never fall: not sin, silu, gelu, mish
        and your own ones.
    norm : {None, "layer", "rms"}, default=None
        The normalisation of each sample's pre-activations in each hidden layer. The activation then
        gets z instead of s. "layer" is z = γ (s - μ) / √(ν + 1e-5) + β with the mean μ and the
        variance ν of the sample's s over the layer's units (Ba et al., "Layer Normalization",
        2016); "rms" is z = γ s / √(mean(s²) + 1e-5) (Zhang and Sennrich, NeurIPS 2019). Each unit
        has its own γ and β, which are learned. Like biases, they have no penalties and no weight
        decay; the same holds for the slopes of prelu.
    residual : bool, default=False
        Whether a hidden layer as wide as the hidden layer before it adds its input to its output:
        h_i = σ_i(...) + h_{i-1} (He et al., CVPR 2016). Dropout comes before the addition.
    seed : int or None, default=None
        Seed of the initial weights and of the shuffling in `fit`. The same seed and calls
        give the same result on the same backend. None takes a random seed from the system.
    backend : {"auto", "cython", "numba", "numpy"} or None, default=None
        The backend that computes. None reads the environment variable FASTBP_BACKEND; if that is
        not set, it means "auto": Cython if it is built, else Numba.

    Attributes
    ----------
    weights, biases : list of ndarray
        Weights and biases of layer i at index i - 1, of shapes (n_{i-1}, n_i) and (n_i,). They
        are views that can be written to. ``net.weights[i] = array`` checks shape and values.
    norm_weights, norm_biases : list of ndarray
        γ and β of hidden layer i at index i - 1, of shape (n_i,); initially 1 and 0. Empty without
        a ``norm``; "rms" has no β.
    slopes : list of ndarray
        a of hidden layer i at index i - 1, of shape (n_i,); (0,) for layers with other activations
        than prelu. Empty without such layers.
    embeddings : list of ndarray
        E of each `Categorical` of the inputs, of shape (n_categories + 1, dimension). The last row
        is the vector of unknown categories.
    missing : list of ndarray
        Of each ``Numeric(n_columns, missing=True)``, the numbers that take the place of NaN, of
        shape (n_columns,).
    loss : str, callable, tuple of tuple or None
        As passed.
    loss_parameter : float, tuple of float or None
        The loss's parameter, None if it has none.
    loss_weights : tuple of float or None
        w_k of each head; None for a single loss.
    output_activation : str
        The name of σ_m, whether passed or the loss's; "heads" if each head has its own.
    backend : str
        Name of the backend in use.
    compute_dtype, norm : str or None
        As passed.
    residual : bool
        As passed.
    monotonic_cst : tuple of int or None
        As passed; None if all features are free.
    layout : Layout
        Its ``sizes``, ``activations`` and ``dtype`` are the network's.

    Notes
    -----
    Initial weights are uniform in ±√(6 / (n_{i-1} + n_i)) (Glorot and Bengio, AISTATS 2010) in
    output layers and layers with identity, sigmoid, tanh or hard_tanh, in ±√(3 / n_{i-1}) (LeCun
    et al., "Efficient BackProp", 1998) in layers with selu, and in ±√(6 / n_{i-1}) (He et al.,
    ICCV 2015) in layers with relu and similar activations. Layers with sin begin as in SIREN
    (Sitzmann et al., NeurIPS 2020): the first in ±30 / n_0, later ones in ±√(6 / n_{i-1}), an
    output layer behind them in ±√(6 / n_{m-1}) / 30. SIREN computes sin(ω (W h + b)) with ω = 30
    and weights that are 30 times smaller; here ω is a part of the weights, so Adam's learning
    rate has to be 30 times SIREN's. Initial biases are zero.

    With ``monotonic_cst`` c, hidden units have signs t = 1, -1, 1, ... by turns. A weight from unit
    j to unit k has the sign t_j t_k or is 0, in the first layer c_j t_k (free where c_j = 0); the
    output has t = 1. So t_k h_k rises with the constrained features in each unit. Units with t = -1
    are what makes the shape free: with relu, the others alone would give convex functions only
    (Runje and Shankaranarayana, ICML 2023). Initial weights get these signs, and behind the first
    hidden layer those into a unit sum to 1 in size; initial biases of hidden units are uniform
    between plus and minus the sum of their weights' sizes. Each training step ends with zeros in
    place of weights of the wrong sign; where you assign such weights, they are refused. One hidden
    layer of relu cannot make an S; two can.

    The vectors of categories begin with normal numbers of deviation 0.1 / √dimension, so their
    length is about 0.1. Categories that the data do not tell apart thus stay close to each other.
    The vectors of unknown categories and the numbers for missing ones begin at 0. All these are
    parameters of the first layer, and are frozen with it. Like biases, they have no penalties and
    no weight decay. If ``layer_sizes`` begins with a list of inputs, X has as many columns as these
    together, which take the place of n_0 where X is described; h_0 has the vectors in place of the
    codes.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> net = fastbp.Network([2, 8, 1], activation="tanh", loss="log_loss", seed=0)
    >>> history = net.fit(X, [0, 1, 1, 0], optimizer=fastbp.Adam(0.05), epochs=200)
    >>> net.predict(X).round().ravel()
    array([0., 1., 1., 0.], dtype=float32)

    A class and a count, from the same hidden units:

    >>> heads = [("cross_entropy", 3), ("poisson", 1)]
    >>> net = fastbp.Network([2, 8, 4], loss=heads, loss_weights=[1.0, 0.5], seed=0)
    >>> history = net.fit(X, ([0, 1, 1, 2], [0, 3, 3, 6]), epochs=5)
    >>> classes, counts = net.predict(X)
    >>> classes.shape, counts.shape
    ((4, 3), (4, 1))
    """

    @keywords
    def __init__(
        self,
        layer_sizes: Sequence[int | Sequence[Numeric | Categorical]],
        *,
        activation: Activation = "relu",
        loss: Loss | Sequence[Head] | None,
        loss_parameter: float | Sequence[float] | None = None,
        loss_weights: Sequence[float] | None = None,
        output_activation: str | None = None,
        dtype: DTypeLike = "float32",
        compute_dtype: Literal["bfloat16"] | None = None,
        monotonic_cst: ArrayLike | None = None,
        norm: Literal["layer", "rms"] | None = None,
        residual: bool = False,
        seed: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        layout, parameter, heads, constrained = layers.layout_of(
            *(layer_sizes, activation, loss, loss_parameter, loss_weights, output_activation),
            *(dtype, compute_dtype, monotonic_cst, norm, residual),
        )
        self._engine = Engine(
            layout,
            tuple(head.given for head in heads) if heads else loss,
            parameter,
            np.random.default_rng(checks.seed(seed)),
            backend,
            output_activation,
            constrained,
            tuple(head.weight for head in heads) or None,
        )
        self._online: Online | None = None

    @classmethod
    def _new(cls, *arguments: Any, **settings: Any) -> Self:
        """Create a network of this class without a subclass's `__init__`, whose form is unknown."""
        made = cls.__new__(cls)
        Network.__init__(made, *arguments, **settings)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_online": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._engine = copy.copy(state["_engine"])  # after copy.copy, this is the original's

    def _with_engine(self, engine: Engine) -> Self:
        """Return a copy of this network with another engine."""
        other = copy.copy(self)
        other._engine = engine
        return other

    def _converted(self, dtype: DTypeLike, backend: Backend | None) -> Self:
        """Return a copy in another precision, in which it also computes, and on another backend."""
        return self._with_engine(self._engine.converted(dtype, backend))

    def __repr__(self):
        hidden = f", activation={list(self.layout.activations)}" if self.layout.activations else ""
        rounding = f", compute_dtype={self.compute_dtype!r}" if self.compute_dtype else ""
        norm = f", norm={self.layout.norm!r}" if self.layout.norm else ""
        residual = ", residual=True" if self.layout.residual else ""
        given = self._engine.given_output_activation
        output = f", output_activation={given!r}" if given else ""
        factors = list(self.loss_weights or ())
        weights = f", loss_weights={factors}" if any(w != 1 for w in factors) else ""
        constrained = f", monotonic_cst={list(c)}" if (c := self.monotonic_cst) else ""
        return (
            f"Network({self.layout.given_sizes}{hidden}, loss={self.loss!r}{weights}{output}, "
            f"dtype={self.layout.dtype.name!r}{rounding}{norm}{residual}{constrained}, "
            f"backend={self.backend!r})"
        )

    @property
    def layout(self) -> Layout:
        return self._engine.layout

    @property
    def loss(self) -> Loss | tuple[Head, ...] | None:
        return self._engine.loss

    @property
    def loss_parameter(self) -> float | tuple[float, ...] | None:
        return self._engine.loss_parameter

    @property
    def loss_weights(self) -> tuple[float, ...] | None:
        return self._engine.loss_weights

    @property
    def output_activation(self) -> str:
        return self._engine.output_activation

    @property
    def norm(self) -> str | None:
        return self.layout.norm

    @property
    def residual(self) -> bool:
        return self.layout.residual

    @property
    def compute_dtype(self) -> str | None:
        return self.layout.compute_dtype

    @property
    def monotonic_cst(self) -> tuple[int, ...] | None:
        return self._engine.monotonic_cst or None

    @property
    def backend(self) -> str:
        return self._engine.backend.name

    @property
    def weights(self) -> Parameters:
        return Parameters("weights", self._engine.weights, self._engine.weight_signs)

    @property
    def biases(self) -> Parameters:
        return Parameters("biases", self._engine.biases)

    @property
    def norm_weights(self) -> Parameters:
        return Parameters("norm_weights", self._engine.arrays.norm_weights)

    @property
    def norm_biases(self) -> Parameters:
        return Parameters("norm_biases", self._engine.arrays.norm_biases)

    @property
    def slopes(self) -> Parameters:
        return Parameters("slopes", self._engine.arrays.slopes)

    @property
    def embeddings(self) -> Parameters:
        return Parameters("embeddings", self._engine.arrays.embeddings)

    @property
    def missing(self) -> Parameters:
        return Parameters("missing", self._engine.arrays.missing)

    @without_unknown
    def predict(self, X: Matrix, **unknown: Any) -> Predictions:
        """Compute the network's output: probabilities or values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m), or tuple of ndarray
            h_m, of the network's dtype; infinite or NaN if it overflows. For losses of
            distributions the shape is (n_samples, 1): the mean of y, the location for student_t,
            the median for several quantiles (the nearest of these if all are on one side of it).
            `forward` returns h_m itself. A network with heads returns a tuple, in which each head
            has what a network with its loss alone returns.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.predict([[1, 0], [1, 1]])
        array([[2.],
               [5.]])
        """
        if unknown:
            refuse(Network.predict, unknown)
        engine = self._engine
        samples = engine.samples(X, may_be_sparse=True)
        engine.check_finite()
        return engine.predictions(samples)

    def forward(self, X: ArrayLike) -> ForwardPass:
        """Compute the network's output, and keep what leads back from there to a gradient.

        With h_0 = X and h_i = σ_i(h_{i-1} W_i + b_i), the pass has the output h_m.
        `ForwardPass.backward` takes ∂L/∂h_m of any function L, whoever computed it, and returns the
        derivatives of L by weights, biases and X. So several networks can be chained.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
            All rows go through the network at once, in one thread, and their activations are kept.

        Returns
        -------
        ForwardPass
            ``p.output``, of shape (n_samples, n_m), is what `predict` returns, except that denormal
            numbers count as zeros on the compiled backends, as they do in training.

        See Also
        --------
        input_vjp : The derivatives by X alone, or by the parameters too, in a single call.
        input_gradient : Derivatives of the network's own loss by X.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> p = net.forward([[1.0, 1.0]])
        >>> p.output
        array([[5.]])
        >>> gradient, dL_dX = p.backward([[1.0]])  # L = h
        >>> gradient.weights[0].ravel(), dL_dX
        (array([1., 1.]), array([[2., 3.]]))
        """
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return ForwardPass(engine, samples)

    def loss_and_gradient(
        self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Gradient]:
        """Compute the mean loss and its gradient with respect to weights and biases.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        loss : float
            Σ w e / Σ w, without penalties.
        gradient : Gradient
            ``gradient.weights`` and ``gradient.biases``: lists of arrays of the same shapes as
            the network's.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> loss, gradient = net.loss_and_gradient([[1, 0], [0, 1]], [0, 3])
        >>> loss  # the mean of ½ 2² and 0
        1.0
        >>> gradient.weights[0].ravel(), gradient.biases[0]
        (array([1., 0.]), array([1.]))
        """
        engine = self._engine
        engine.check_finite()
        return engine.gradient(engine.data(X, y, sample_weight, may_be_sparse=True))

    # Training.

    @keywords
    def fit(
        self,
        X: Matrix,
        y: ArrayLike,
        *,
        optimizer: Optimizer | str | None = None,
        schedule: Schedule | str | None = None,
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
        dy: ArrayLike | None = None,
        derivative_weight: float = 1.0,
    ) -> History:
        r"""Train on (X, y); the weights are changed in place.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.
        optimizer : Optimizer or str, default=Adam()
            The optimiser, for example ``fastbp.SGD(0.1, momentum=0.9)``, or its name in upper or
            lower case, which stands for its defaults: "sgd" is ``fastbp.SGD()``. Its state is
            reset at the beginning of each call.
        schedule : Schedule or str, optional
            How the optimiser's learning rate changes during training, for example
            ``fastbp.CosineDecay(warmup=0.1)``. The names "cosine", "one_cycle" and "plateau" stand
            for CosineDecay, OneCycle and ReduceOnPlateau with their defaults.
        epochs : int, default=20
            Number of passes through the data.
        batch_size : int or None, default=32
            Number of samples per step; the last batch of an epoch may be smaller. None, or
            n_samples or more, uses all samples in each step.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero; a batch's loss is Σ w e / Σ w over the batch. A sample of
            weight 0 stays in its batch and adds exactly 0, even if its own loss overflows. A
            batch in which all weights are 0 has loss 0 and gradient 0: only penalties and the
            optimiser's momentum change the weights in its step.
        class_weight : "balanced" or dict, optional
            Factor of the sample weights for each class; 1 for classes that a dict does not name.
            "balanced" is as in ``sklearn.utils.class_weight.compute_sample_weight``. Only for
            cross_entropy and log_loss with labels.
        l1, l2 : float or sequence of float, default=0.0
            Add l1 Σ \|W\| + l2 / 2 Σ W² over all weights, biases excluded, to the loss of every
            batch; one number for all layers, or one for each entry of ``weights``.
        dropout : float or sequence of float, default=0.0
            Probability of leaving out a unit, drawn anew for each step; the other units are
            scaled up by 1 / (1 - rate). One rate for all hidden layers, or one for each,
            optionally preceded by one for the input.
        clip_norm : float, optional
            Maximum Euclidean norm c of a step's gradient, over all weights and biases and including
            penalties; a gradient g of a larger norm is scaled by c / (‖g‖ + 1e-6), as in PyTorch.
        label_smoothing : float, default=0.0
            Share of each target that is spread evenly over all classes, in [0, 1). Only for
            cross_entropy and log_loss.
        average : EMA or SWA, optional
            Average the weights over training. The validation loss is computed with the average,
            and the network keeps it at the end.
        frozen : sequence of int, default=()
            Indices of the entries of ``weights`` and ``biases`` that training must not change.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Data on which to compute the loss after each epoch.
        scoring : str, callable, list or dict of these, optional
            Scores to compute on the validation data after each epoch: names of scikit-learn's
            scorers, or functions ``scorer(estimator, X, y)`` that return a number. The keys of a
            dict are the names in ``history.scores``. NaN is recorded, but never counts as an
            improvement.
        patience : int, optional
            End the training after this many consecutive epochs without improvement, and restore
            the best weights, see `EarlyStopping`.
        min_delta : float, default=0.0
            An epoch improves on the best one if it is better by more than this.
        monitor : str, default="validation_loss"
            The quantity that must improve: a loss, or the name of a score.
        callbacks : list of Callback, default=()
            Called before, between and after the epochs, see `Callback`.
        shuffle : bool, default=True
            Draw a new order of the samples for each epoch.
        threads : int, optional
            Number of threads that train, at most 1024. All numbers give the same result, to the
            last bit. By default as many as have enough work in a step and are free, often one.
            The NumPy backend always uses one.
        progress : bool, default=False
            Show a progress bar.
        resume_from : str or path-like, optional
            A checkpoint of a training to resume, see `Checkpoint`. The other arguments must be
            the same as in that training; ``epochs`` counts from its beginning.
        dy : array-like of shape (n_samples, n_m, n_0), optional
            Known derivatives of the targets by the inputs, ``dy[r, k, j]`` that of sample r's
            output k by its input j; NaN where unknown. With one output, (n_samples, n_0) will do.
            The loss to minimise then is Σ w (e + λ/2 Σ (∂h_k/∂x_j - dy)²) / Σ w, where the inner
            sum is over the sample's known derivatives and h is what `predict` returns (Sobolev
            training, see Notes).
        derivative_weight : float, default=1.0
            λ ≥ 0, how much the derivatives count.

        Returns
        -------
        History
            Losses by epoch. After Ctrl-C, there is a warning, the history has the finished epochs
            and ``interrupted`` is True; the network has the weights of the last step, or their
            average so far.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged.
        TrainingDiverged
            If the loss or the weights are not finite. The network keeps its weights of that
            moment; with early stopping, it gets the best weights.

        Notes
        -----
        With `dy`, ``history.loss`` is of the whole objective, while the validation loss is of the
        values alone. Dropout is refused, since the derivatives are those of the whole network.
        `threads` are chosen for each step by its work; the result does not depend on them, either.
        Where derivatives come from a model, they can save most of the samples (Czarnecki et al.,
        "Sobolev Training for Neural Networks", NIPS 2017); docs/physics.md has an example.

        Examples
        --------
        Three points of the sine, and its slope there, give the curve between them:

        >>> import numpy as np, fastbp
        >>> X = np.array([[0.0], [1.5], [3.0]])
        >>> net = fastbp.Network([1, 16, 1], activation="tanh", loss="squared_error", seed=0)
        >>> history = net.fit(X, np.sin(X), dy=np.cos(X), epochs=2000, optimizer=fastbp.Adam(0.01))
        >>> between = np.linspace(0, 3, 50).reshape(-1, 1)
        >>> bool(np.abs(net.predict(between) - np.sin(between)).max() < 0.05)
        True
        """
        engine = self._engine
        engine.check_finite()
        how = {"class_weight": class_weight, "label_smoothing": label_smoothing}
        data = engine.data(X, y, sample_weight, **how, may_be_sparse=True)
        dy = derivatives.known(engine, dy, len(data.X))
        samples = derivatives.source(data, dy, derivative_weight, batch_size, shuffle)
        control = control_.control(
            self,
            epochs=epochs,
            optimizer=optimizer,
            schedule=schedule,
            validation=sources.validation(engine, validation_data),
            scoring=scoring,
            patience=patience,
            min_delta=min_delta,
            monitor=monitor,
            callbacks=callbacks,
            progress=progress,
        )
        regularizers = regularizers_of(
            len(engine.layout.sizes) - 1,
            l1=l1,
            l2=l2,
            frozen=frozen,
            dropout=dropout,
            clip_norm=clip_norm,
            average=average,
        )
        return fitting.fit(self, samples, control, regularizers, threads, resume_from=resume_from)

    def fit_batches(
        self,
        batches: Iterable[Samples] | Stream,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        class_weight: Mapping[Any, float] | None = None,
        label_smoothing: float = 0.0,
        threads: int | None = None,
        **options: Unpack[BatchOptions],
    ) -> History:
        """Train on data that come in batches, and need not fit into memory.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            Batches, or blocks of several batches, which are used in order. `ArrayStream` and
            `ParquetStream` read them from files. In some blocks all weights may be 0 (see `fit`);
            blocks without rows are skipped.
        epochs : int, default=1
            Number of passes through ``batches``, which must be iterable as often. An iterator or
            generator allows a single epoch.
        batch_size : int or None, default=None
            Number of samples per step. Each block is split into steps of this size; its last step
            may have fewer samples. None uses each block as one batch.
        steps_per_epoch : int, optional
            Number of steps in an epoch, which `CosineDecay` and `OneCycle` need; by default
            ``len(batches)`` if each block is one step.
        class_weight : dict, optional
            As for `fit`. A block may lack some classes.
        label_smoothing : float, default=0.0
            As for `fit`.
        threads : int, optional
            As for `fit`.
        **options
            Other options of `fit`: optimizer, schedule, l1, l2, dropout, clip_norm, average,
            frozen, validation_data, scoring, patience, min_delta, monitor, callbacks, progress.

        Returns
        -------
        History
            As from `fit`.

        Raises
        ------
        TypeError, ValueError
            For bad arguments. The network is unchanged, unless a later batch is bad.
        TrainingDiverged
            If the loss or the weights are not finite, as in `fit`.

        Notes
        -----
        The optimiser's state is kept from block to block and from epoch to epoch.

        ``history.loss`` is that of `fit`. Only if the first pass begins with blocks without
        weights, and later blocks have weights, do penalties count in the former as if they were
        part of each sample's loss.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> def batches(rng=np.random.default_rng(0)):
        ...     for _ in range(200):
        ...         X = rng.standard_normal((32, 3))
        ...         yield X, X.sum(axis=1)
        >>> net = fastbp.Network([3, 1], loss="squared_error", seed=0)
        >>> history = net.fit_batches(batches(), optimizer=fastbp.Adam(0.05))
        >>> X, y = next(batches())
        >>> net.score(X, y) > 0.99
        True
        """
        engine = self._engine
        engine.check_finite()
        control_.check_options("Network.fit_batches", options)
        samples = sources.Blocks(
            engine, batches, epochs, batch_size, steps_per_epoch, class_weight, label_smoothing
        )
        others: dict[str, Any] = {**options}
        regularizers = regularizers_of(
            len(engine.layout.sizes) - 1, **control_.pop_regularizers(others)
        )
        validation = sources.validation(engine, others.pop("validation_data", None))
        control = control_.control(self, epochs=epochs, validation=validation, **others)
        return fitting.fit(self, samples.begin(), control, regularizers, threads)

    @without_unknown
    def fit_step(
        self,
        X: Matrix,
        y: ArrayLike,
        *,
        optimizer: Optimizer | str | None = None,
        sample_weight: ArrayLike | None = None,
        clip_norm: float | None = None,
        l1: ByLayer = 0.0,
        l2: ByLayer = 0.0,
        frozen: Sequence[int] = (),
        **unknown: Never,
    ) -> float:
        """Take one training step on one batch, for data that arrive over time.

        The optimiser's state is kept between calls, until another optimiser is passed; `fit` does
        not change it. A copy of the network (copy, pickle, `to_backend`) starts with a new state.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_0)
            The batch, often a single row.
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.
        optimizer : Optimizer or str, optional
            The optimiser, or its name; by default that of the last call, Adam() in the first call.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.
        clip_norm, l1, l2, frozen
            As for `fit`, but for this step only: the next call has its own. When they change, the
            optimiser's state stays. A frozen layer's state does not change.

        Returns
        -------
        float
            The batch's loss before the step, penalties included.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged.
        TrainingDiverged
            If the loss or the weights are not finite.

        Notes
        -----
        There is no schedule, which would have to know how many steps or epochs there will be.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0]]
        >>> net.fit_step([[1.0]], [0.0], optimizer=fastbp.SGD(0.1), clip_norm=1.0)
        2.0
        >>> (2 - net.weights[0]).round(4)  # 0.1 / √2: the bias has the other half of the step
        array([[0.0707]])
        """
        if unknown:
            refuse(Network.fit_step, unknown)
        engine = self._engine
        data = engine.data(X, y, sample_weight, may_be_sparse=True)
        rules: dict[str, Any] = dict(clip_norm=clip_norm, l1=l1, l2=l2, frozen=frozen)
        self._online = continued(self._online, engine, optimizer, data, **rules)
        return self._online.step(data)

    @without_unknown
    def apply_gradient(
        self,
        gradient: Gradient,
        *,
        optimizer: Optimizer | str | None = None,
        clip_norm: float | None = None,
        l1: ByLayer = 0.0,
        l2: ByLayer = 0.0,
        frozen: Sequence[int] = (),
        **unknown: Never,
    ) -> None:
        r"""Take one training step with a gradient from outside.

        With the gradient g, a step of `SGD` is θ ← θ - η (g + l1 sign θ + l2 θ), without
        penalties of biases; g is taken as it is, and not divided by a number of rows. The
        optimiser's state is the one that `fit_step` has: it is kept between the calls of both. With
        the gradient of `loss_and_gradient`, the step is that of `fit_step`, to the last bit.

        Parameters
        ----------
        gradient : Gradient
            ``gradient.weights[i - 1]`` of shape (n_{i-1}, n_i) and ``gradient.biases[i - 1]`` of
            shape (n_i,) for layer i: from `ForwardPass.backward` or `loss_and_gradient`, or any
            arrays in a ``fastbp.Gradient(weights, biases)``. It is not changed.
        optimizer : Optimizer or str, optional
            The optimiser, or its name; by default that of the last call, Adam() in the first call.
        clip_norm, l1, l2, frozen
            As for `fit_step`, for this step only.

        Raises
        ------
        TypeError, ValueError
            For bad arguments, also a gradient that is not finite; the network is unchanged.
        TrainingDiverged
            If the weights are not finite after the step.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> p = net.forward([[1.0, 0.0]])
        >>> gradient, _ = p.backward([[1.0]])  # L = h, which is to become smaller
        >>> net.apply_gradient(gradient, optimizer=fastbp.SGD(0.5))
        >>> net.weights[0].ravel(), net.biases[0]
        (array([1.5, 3. ]), array([-0.5]))

        Two networks in a chain: the actor a = π(x) is trained on L = -Σ Q(x, a) / n, through the
        critic Q, which stays as it is:

        >>> import numpy as np
        >>> actor = fastbp.Network([3, 16, 1], loss="squared_error", seed=0)
        >>> critic = fastbp.Network([4, 16, 1], loss="squared_error", seed=1)
        >>> x = np.random.default_rng(0).standard_normal((32, 3))
        >>> means = []
        >>> for _ in range(10):
        ...     action = actor.forward(x)
        ...     value = critic.forward(np.hstack([x, action.output]))
        ...     means.append(value.output.mean())
        ...     _, d_inputs = value.backward(np.full((32, 1), -1 / 32), parameters=False)
        ...     gradient, _ = action.backward(d_inputs[:, 3:], inputs=False)
        ...     actor.apply_gradient(gradient, optimizer=fastbp.Adam(0.01), clip_norm=1.0)
        >>> bool(means[-1] > means[0])
        True
        """
        if unknown:
            refuse(Network.apply_gradient, unknown)
        engine = self._engine
        engine.check_finite()
        rules: dict[str, Any] = dict(clip_norm=clip_norm, l1=l1, l2=l2, frozen=frozen)
        online = continued(self._online, engine, optimizer, **rules)
        online.load(gradient)
        self._online = online
        online.apply()

    def blend(self, other: Network, tau: float) -> None:
        r"""Move the weights and biases towards those of another network.

        With θ all parameters of this network and θ' those of the other one,
        θ ← (1 - τ) θ + τ θ'. So a target network follows the network that is trained. Optimisers
        keep their state.

        Parameters
        ----------
        other : Network
            A network of the same layer sizes, dtype, norm and layers with prelu, on any backend. It
            is not changed, and may be this network itself, which then stays as it is.
        tau : float
            τ in [0, 1]. With 1 the weights and biases become exactly those of `other`, with 0 they
            stay. Where both networks have the same number it stays exactly, whatever τ is.

        Raises
        ------
        TypeError, ValueError
            For bad arguments, other shapes or another dtype, or weights that are not finite; the
            network is unchanged.

        Examples
        --------
        >>> import fastbp
        >>> net, target = (fastbp.Network([1, 1], loss="squared_error") for _ in range(2))
        >>> net.weights[0], target.weights[0] = [[3.0]], [[1.0]]
        >>> target.blend(net, 0.25)
        >>> target.weights[0]
        array([[1.5]], dtype=float32)
        """
        check_network("other", other)
        tau = checks.real_number("tau", tau, highest=1.0)
        self._engine.blend(other._engine, tau)

    # Inspection.

    @keywords
    def score(
        self,
        X: Matrix,
        y: ArrayLike,
        *,
        scoring: Scorer | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Compute the accuracy, R² or another of scikit-learn's scores on (X, y).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.
        scoring : str or callable, optional
            A name of scikit-learn's scorers, or a function ``scorer(estimator, X, y)``. By default
            "accuracy" for cross_entropy and log_loss, "r2" for all other losses.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        float
            Greater is better, as for all of scikit-learn's scorers.

        Raises
        ------
        TypeError, ValueError
            For bad arguments, or targets for which the score is not defined.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([1, 1], loss="squared_error")
        >>> net.weights[0] = [[2.0]]
        >>> net.score([[0], [1], [2]], [0, 2, 4])
        1.0
        >>> net.score([[0], [1], [2]], [0, 2, 7], scoring="neg_mean_absolute_error")
        -1.0
        """
        from ..training import scoring as scoring_

        engine = self._engine
        engine.check_one_loss("a score", "score the entries of predict one by one")
        engine.check_finite()
        return scoring_.score(self, engine.data(X, y, sample_weight, may_be_sparse=True), scoring)

    def summary(self) -> Summary:
        """Describe the layers, with the number of parameters and their memory.

        Returns
        -------
        Summary

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([64, 32, 10], loss="cross_entropy", backend="numpy")
        >>> net.summary()
        Network, loss cross_entropy, float32, backend numpy
        layer   units  activation  weights  parameters
        input      64
        1          32  relu        64 x 32       2,080
        output     10  softmax     32 x 10         330
        2,410 parameters, 9.4 KiB
        """
        from .summary import summary

        return summary(self, self._engine.output_title)

    def layer_outputs(self, X: ArrayLike) -> list[Floats]:
        """Compute the output of each layer for X, including the hidden activations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        list of ndarray
            h_1, ..., h_m, of shapes (n_samples, n_i); the last one is the result of `predict`.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 4, 1], loss="log_loss", seed=0)
        >>> [h.shape for h in net.layer_outputs([[0, 1], [1, 0], [1, 1]])]
        [(3, 4), (3, 1)]
        """
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return engine.layer_outputs(samples)

    def per_sample_gradients(self, X: ArrayLike, y: ArrayLike) -> Gradient:
        """Compute the gradient of each sample's own loss, in one compiled call.

        The mean over the samples is the gradient of `loss_and_gradient`, up to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_{i-1}, n_i) and ``biases[i - 1]`` of shape
            (n_samples, n_i) for layer i. This can take much memory: for each sample as many
            numbers as the network has parameters.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> each = net.per_sample_gradients([[1, 0], [0, 1]], [0, 3])
        >>> each.weights[0].shape, each.biases[0].ravel()
        ((2, 2, 1), array([2., 0.]))
        """
        engine = self._engine
        engine.check_finite()
        found = engine.per_sample(engine.data(X, y), gradients=True)
        return engine.by_layer(found.gradients)

    def trace(self, X: ArrayLike, y: ArrayLike) -> Trace:
        """Compute every quantity of backpropagation for these samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.

        Returns
        -------
        Trace
            s_i, h_i, ∂e/∂h_i, ∂e/∂s_i, ∇W_i and ∇b_i of every layer, and the terms of each sum.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> trace = net.trace([[1, 1]], [4])
        >>> trace.h[1], trace.ds[1], trace.dW[1].ravel()
        (array([[5.]]), array([[1.]]), array([1., 1.]))
        >>> trace.node(1, 0)
        Unit 0 of layer 1 (identity), sample 0
          s_1,0 = 5
            h_0,0 w¹_0,0 = 2
            h_0,1 w¹_1,0 = 3
            b_1,0        = 0
          h_1,0 = 5
          ∂e/∂h_1,0 = 1
          σ'(s_1,0) = 1
          ∂e/∂s_1,0 = 1
          ∇w_1,0
            ∂e/∂s_1,0 h_0,0 = 1
            ∂e/∂s_1,0 h_0,1 = 1
            ∂e/∂s_1,0       = 1
        """
        from .trace import trace

        return trace(self, X, y)

    # Copies and files.

    def to_backend(self, backend: Backend | None) -> Self:
        """Return a copy of this network, including its random state, on another backend.

        Parameters
        ----------
        backend : {"auto", "cython", "numba", "numpy"} or None
            As for `Network`.

        Returns
        -------
        Network

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", seed=0, backend="numpy")
        >>> net.to_backend("auto").backend in ("cython", "numba")
        True
        """
        other = copy.deepcopy(self)
        other._engine.use(backend)
        return other

    def save(self, path: StrPath) -> None:
        """Write this network to one safetensors file.

        An existing file is replaced atomically: if the program is killed, the path holds either
        the old file or the new one. Links are followed, and the file's permissions are kept.

        Parameters
        ----------
        path : str or path-like
            The file to write.

        Raises
        ------
        ValueError
            If the loss is a function, which cannot be saved, or weights are not finite.

        See Also
        --------
        fastbp.save : Saves estimators and pipelines, too.

        Examples
        --------
        >>> import fastbp, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
        >>> net = fastbp.Network([2, 8, 1], loss="log_loss", seed=0)
        >>> net.save(path)
        >>> bool((fastbp.Network.load(path).predict([[0, 1]]) == net.predict([[0, 1]])).all())
        True
        """
        from ..files import file, network

        tensors: dict = {}
        document = network.to_document(self, tensors)
        file.write(path, {"kind": "network", "model": document}, tensors)

    @classmethod
    def load(cls, path: StrPath, *, backend: Backend | None = None) -> Self:
        """Read a network from a file that `save` wrote, or from a checkpoint.

        Parameters
        ----------
        path : str or path-like
            The file. It need not be trusted: nothing in it is executed, and memory is limited as
            docs/saving.md states.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`. The backend is not stored in the file.

        Returns
        -------
        Network
            The network with its weights and random state. From a checkpoint, it has the weights
            with which training would continue.

        Raises
        ------
        ValueError
            If the file is broken, was written by a newer fastbp, or holds no network.
        OSError
            If the file does not exist or cannot be read.

        Examples
        --------
        >>> import fastbp, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
        >>> fastbp.Network([2, 8, 1], loss="log_loss").save(path)
        >>> net = fastbp.Network.load(path, backend="numpy")
        >>> net.layout.sizes, net.loss
        ((2, 8, 1), 'log_loss')
        """
        from ..files import file, network

        get(backend)  # an unknown backend is not an error in the file
        with file.named(path):
            document, tensors = file.read(path)
            return network.from_file(cls, document, tensors, backend)

    # Exchange with other tools.


def check_network(name, value):
    """Raise TypeError unless `value` is a Network."""
    if not isinstance(value, Network):
        raise TypeError(
            f"{name} must be a fastbp.Network, got {type(value).__name__} (Network.from_sklearn "
            "makes one of a fitted estimator)"
        )
