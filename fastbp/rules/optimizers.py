"""Optimisers: frozen dataclasses of hyperparameters, with the update rules in the docstrings.

A class here only describes the update. The update itself is an elementwise function in each
backend (``update`` in the backends' optimizers files). It takes the weights w, the gradient g
(which includes the gradient of the L2 penalty) and up to two state arrays, called slots, of the
shape of w. State starts at zero unless stated otherwise.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from ..basis import checks, spec
from ..basis.names import keywords


@dataclass(frozen=True)
class Optimizer:
    """Base class of the optimisers.

    A subclass sets ``code`` (see spec.py) and ``slots``, the number of state arrays, and
    declares its hyperparameters as fields. ``hyper()`` returns them in the fixed order that
    the kernels expect.

    Examples
    --------
    >>> import fastbp
    >>> optimizer = fastbp.SGD(0.1, momentum=0.9)
    >>> isinstance(optimizer, fastbp.Optimizer), optimizer.learning_rate
    (True, 0.1)
    """

    learning_rate: float

    full_batch_only = False  # not annotated, so not a field
    lazy = False  # whether steps on sparse samples change only those weights that they touch

    def __post_init__(self):
        for entry in fields(self):
            name, value = f"{type(self).__name__}: {entry.name}", getattr(self, entry.name)
            if entry.type is bool:
                checks.settle(self, **{entry.name: checks.flag(name, value)})
                continue
            number = checks.number(name, value)
            low, high, low_allowed, high_allowed = _RANGES[entry.name]
            inside = (low < number or (low_allowed and number == low)) and (
                number < high or (high_allowed and number == high)
            )
            if not inside:  # also for NaN
                raise ValueError(
                    f"{name} must be in "
                    f"{'[' if low_allowed else '('}{low:g}, {high:g}{']' if high_allowed else ')'}"
                    f", got {number:g}"
                )
            checks.settle(self, **{entry.name: number})

    @property
    def code(self) -> int:
        raise NotImplementedError

    @property
    def slots(self) -> int:
        raise NotImplementedError

    def hyper(self) -> tuple[float, ...]:
        """Return the hyperparameters for the kernels: six floats, the learning rate first."""
        raise NotImplementedError

    def initial_state(self, slot: int) -> float:
        """Return the initial value of the state array with number `slot`."""
        return 0.0


_LARGEST = 1e30  # finite in float32
_SMALLEST = 1e-30  # a normal number in float32
# Field -> (low, high, low allowed, high allowed). With an epsilon of 0, 0 / 0 could occur.
_RANGES = {
    "learning_rate": (0.0, _LARGEST, False, True),
    "momentum": (0.0, 1.0, True, False),
    "decay": (0.0, 1.0, True, False),
    "beta_1": (0.0, 1.0, True, False),
    "beta_2": (0.0, 1.0, True, False),
    "epsilon": (_SMALLEST, _LARGEST, True, True),
    "weight_decay": (0.0, _LARGEST, True, True),
    "eta_minus": (0.0, 1.0, False, False),
    "eta_plus": (1.0, _LARGEST, False, True),
    "smallest_step": (_SMALLEST, _LARGEST, True, True),
    "largest_step": (_SMALLEST, _LARGEST, True, True),
}


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum.

    Without momentum ``w -= η g``. With momentum μ the velocity is ``v = μ v - η g`` and
    ``w += v``; with Nesterov's look-ahead ``w += μ v - η g`` (v already updated).

    Parameters
    ----------
    learning_rate : float, default=0.01
        η, above 0.
    momentum : float, default=0.0
        μ in [0, 1).
    nesterov : bool, default=False
        Look ahead along the velocity; requires momentum > 0.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
    in deep learning", ICML 2013, equations (1)-(4). With a constant rate this is the
    trajectory of scikit-learn's solver "sgd" and of ``torch.optim.SGD``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> loss = net.fit_step([[1.0]], [0.0], optimizer=fastbp.SGD(0.1))  # the gradient is 2
    >>> net.weights[0].item()
    1.8
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov=True needs momentum > 0, got momentum=0")

    @property
    def code(self) -> int:
        if self.momentum == 0:
            return spec.SGD
        return spec.NESTEROV if self.nesterov else spec.MOMENTUM

    @property
    def slots(self) -> int:
        return 0 if self.momentum == 0 else 1

    def hyper(self) -> tuple[float, ...]:
        return (self.learning_rate, self.momentum, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Divide the gradient by its running root mean square.

    ``v = ρ v + (1 - ρ) g²`` and ``w -= η g / (√v + ε)``.

    Parameters
    ----------
    learning_rate : float, default=0.01
        η, above 0.
    decay : float, default=0.99
        ρ in [0, 1) (``alpha`` in PyTorch).
    epsilon : float, default=1e-8
        ε, above 0.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5 - rmsprop", COURSERA: Neural Networks for Machine
    Learning, 2012. Defaults and the place of ε as in ``torch.optim.RMSprop``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> loss = net.fit_step([[1.0]], [0.0], optimizer=fastbp.RMSprop(0.01))  # the gradient is 2
    >>> round(net.weights[0].item(), 6)
    1.9
    """

    learning_rate: float = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8
    code = spec.RMSPROP
    slots = 1

    def hyper(self) -> tuple[float, ...]:
        return (self.learning_rate, self.decay, 0.0, self.epsilon, 0.0, 0.0)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Divide the gradient by the root of the sum of its squares so far.

    ``v += g²`` and ``w -= η g / (√v + ε)``.

    Parameters
    ----------
    learning_rate : float, default=0.01
        η, above 0.
    epsilon : float, default=1e-10
        ε, above 0.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization", JMLR 12, 2011. Defaults as in ``torch.optim.Adagrad``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> loss = net.fit_step([[1.0]], [0.0], optimizer=fastbp.Adagrad(0.01))  # the gradient is 2
    >>> round(net.weights[0].item(), 6)
    1.99
    """

    learning_rate: float = 0.01
    epsilon: float = 1e-10
    code = spec.ADAGRAD
    slots = 1

    def hyper(self) -> tuple[float, ...]:
        return (self.learning_rate, 0.0, 0.0, self.epsilon, 0.0, 0.0)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments.

    ``m = β1 m + (1 - β1) g``, ``v = β2 v + (1 - β2) g²`` and, with the bias corrections
    ``m̂ = m / (1 - β1^t)``, ``v̂ = v / (1 - β2^t)`` at step t = 1, 2, ...,
    ``w -= η m̂ / (√v̂ + ε)``.

    Parameters
    ----------
    learning_rate : float, default=0.001
        η, above 0.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default=1e-8
        ε, above 0.
    epsilon_hat : bool, default=False
        Use ε as ε̂: add it to √v instead of √v̂.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 1;
    ``torch.optim.Adam`` does the same. scikit-learn uses the variant with ε̂, which is at the
    end of section 2 of the paper.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> loss = net.fit_step([[1.0]], [0.0], optimizer=fastbp.Adam(0.01))  # the gradient is 2
    >>> round(net.weights[0].item(), 6)
    1.99
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = field(default=False, kw_only=True)
    code = spec.ADAM
    slots = 2

    def hyper(self) -> tuple[float, ...]:
        return (
            self.learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            0.0,
            float(self.epsilon_hat),
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, which does not enter the moments.

    ``w -= η λ w`` before each step of Adam. Biases are not decayed.

    Parameters
    ----------
    learning_rate : float, default=0.001
        η, above 0.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default=1e-8
        ε, above 0.
    weight_decay : float, default=0.01
        λ, at least 0.
    epsilon_hat : bool, default=False
        As for `Adam`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, Algorithm 2.
    Defaults as in ``torch.optim.AdamW``, which also decays biases unless they are in a
    parameter group without decay.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> loss = net.fit_step([[1.0]], [0.0], optimizer=fastbp.AdamW(0.01, weight_decay=0.1))
    >>> round(net.weights[0].item(), 6)  # 2 - 0.01 (0.1 · 2 + 1)
    1.988
    """

    weight_decay: float = 0.01
    code = spec.ADAMW

    def hyper(self) -> tuple[float, ...]:
        return (*super().hyper()[:4], self.weight_decay, float(self.epsilon_hat))


@dataclass(frozen=True)
class LazyAdam(Adam):
    """Adam that leaves weights of the first layer alone whose features do not occur in a batch.

    For sparse samples (SciPy's matrices) with many features, such as counts of words. In a step,
    only those rows of W_1 and of their moments m and v change for whose feature the batch has an
    entry; also a zero that the matrix stores is one. Their update is that of `Adam`, with the
    number t of all steps in the bias corrections. Biases and the other layers' weights take Adam's
    step. So the cost of a step goes by the entries, while Adam's goes by the number of weights.

    The numbers differ from Adam's, which lets moments decay and weights move in every step. On
    dense samples, and in `Network.apply_gradient`, which knows no samples, the two are the same.

    Parameters
    ----------
    learning_rate : float, default=0.001
        η, above 0.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the two moments, in [0, 1).
    epsilon : float, default=1e-8
        ε, above 0.
    epsilon_hat : bool, default=False
        As for `Adam`.

    Raises
    ------
    ValueError
        By training on sparse samples with what concerns all weights of the first layer: l1 or l2 of
        that layer, clip_norm or an `EMA`; and by networks without a hidden layer whose output is a
        single one.

    References
    ----------
    ``torch.optim.SparseAdam`` and ``LazyAdam`` of TensorFlow Addons take the same steps with
    ``epsilon_hat=True``.

    Examples
    --------
    >>> import fastbp, scipy.sparse
    >>> net = fastbp.Network([3, 2], loss="squared_error", dtype="float64", seed=0)
    >>> before = net.weights[0].copy()
    >>> X = scipy.sparse.csr_array([[0.0, 1.0, 0.0]])
    >>> loss = net.fit_step(X, [[1.0, 1.0]], optimizer=fastbp.LazyAdam(0.01))
    >>> (net.weights[0] != before).any(axis=1)
    array([False,  True, False])
    """

    lazy = True


@dataclass(frozen=True)
class Rprop(Optimizer):
    """Resilient backpropagation: only the sign of the gradient counts. Full batch only.

    Each weight has its own step Δ, which starts at the learning rate. With g the gradient
    and p the previous one: where g p > 0, ``Δ = min(Δ η+, Δmax)``; where g p < 0,
    ``Δ = max(Δ η-, Δmin)`` and g is set to zero; then ``w -= sign(g) Δ`` and ``p = g``.

    Parameters
    ----------
    learning_rate : float, default=0.01
        The first Δ, above 0.
    eta_minus, eta_plus : float, default=0.5, 1.2
        Factors of Δ, in (0, 1) and above 1.
    smallest_step, largest_step : float, default=1e-6, 50.0
        Bounds of Δ.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: The
    RPROP algorithm", ICNN 1993; the variant without weight-backtracking (iRprop-) of Igel
    and Hüsken, "Improving the Rprop Learning Algorithm", NC 2000. Defaults as in
    ``torch.optim.Rprop``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> history = net.fit([[1.0]], [0.0], optimizer=fastbp.Rprop(0.1), batch_size=None, epochs=3)
    >>> round(2 - net.weights[0].item(), 6)  # 0.1 + 0.12 + 0.144
    0.364
    """

    learning_rate: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    smallest_step: float = 1e-6
    largest_step: float = 50.0
    code = spec.RPROP
    slots = 2
    full_batch_only = True

    def __post_init__(self):
        super().__post_init__()
        if self.smallest_step > self.largest_step:
            raise ValueError(
                f"Rprop: smallest_step {self.smallest_step!r} is above "
                f"largest_step {self.largest_step!r}"
            )

    def hyper(self) -> tuple[float, ...]:
        return (
            self.learning_rate,
            self.eta_minus,
            self.eta_plus,
            self.smallest_step,
            self.largest_step,
            0.0,
        )

    def initial_state(self, slot: int) -> float:
        return self.learning_rate if slot == 1 else 0.0


# The optimisers by name.
OPTIMIZERS: dict[str, Any] = {
    item.__name__: item for item in (SGD, RMSprop, Adagrad, Adam, AdamW, LazyAdam, Rprop)
}
for _class in OPTIMIZERS.values():
    _class.__init__ = keywords(_class.__init__)
del _class
_BY_NAME = {name.lower(): item for name, item in OPTIMIZERS.items()}
_DEFAULT = Adam()


def optimizer_of(optimizer: Any) -> Optimizer:
    """Return an optimiser argument, checked; Adam() for None, the defaults for a name."""
    if optimizer is None:
        return _DEFAULT
    if isinstance(optimizer, str):
        return spec.choose("optimizer", optimizer.lower(), _BY_NAME)()
    if not isinstance(optimizer, Optimizer) or type(optimizer) is Optimizer:
        name = getattr(optimizer, "__name__", None)
        hint = f"; pass an instance, fastbp.{name}()" if name in OPTIMIZERS else ""
        raise TypeError(
            "optimizer must be one of fastbp's, such as fastbp.Adam(), or the name of one, got "
            f"{optimizer!r}{hint}"
        )
    return optimizer
