"""Network: a feed-forward network, as users see it.

Its methods check what users pass and hand over to the engine, which computes, or to another room.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np

from ..basis import checks, late, spec
from ..basis.layout import Layout
from ..engine.engine import Engine
from ..engine.parameters import Gradient, Parameters
from ..rules import optimizers, regularizers
from ..training import fitting
from ..training.run import Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    from ..training.options import BatchOptions
    from ..training.run import History
    from ..training.streaming import Stream
    from .trace import Trace


class Network:
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
        loss_spec = spec.loss_of(loss)
        name = "a function" if loss_spec is spec.CUSTOM_LOSS else loss
        if name == "cross_entropy" and sizes[-1] == 1:
            raise ValueError(
                "cross_entropy needs at least 2 outputs (a softmax of one unit is always 1); "
                "for two classes use log_loss with 1 output, or 2 outputs"
            )
        self._engine = Engine(
            Layout(sizes, spec.hidden_activations(activation, len(sizes) - 2), checks.dtype(dtype)),
            loss,
            checks.loss_parameter(loss_parameter, name, loss_spec),
            np.random.default_rng(checks.seed(seed)),
            backend,
        )
        self._online: Training | None = None

    @classmethod
    def _new(cls, *arguments: Any, **settings: Any) -> Self:
        """A network of this class, without its own `__init__`, which may take anything."""
        made = cls.__new__(cls)
        Network.__init__(made, *arguments, **settings)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_online": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._engine = copy.copy(state["_engine"])  # the original's, if this is a copy

    def _with_engine(self, engine: Engine) -> Self:
        """A copy of this network with another engine."""
        other = copy.copy(self)
        other._engine = engine
        return other

    def _converted(self, dtype: DTypeLike, backend: str | None) -> Self:
        """A copy of this network in another precision and on another backend."""
        return self._with_engine(self._engine.converted(dtype, backend))

    def __repr__(self):
        hidden = f", activation={list(self.layout.activations)}" if self.layout.activations else ""
        return (
            f"Network({list(self.layout.sizes)}{hidden}, loss={self.loss!r}, "
            f"dtype={self.layout.dtype.name!r}, backend={self.backend!r})"
        )

    @property
    def layout(self) -> Layout:
        return self._engine.layout

    @property
    def loss(self) -> Loss:
        return self._engine.loss

    @property
    def loss_parameter(self) -> float | None:
        return self._engine.loss_parameter

    @property
    def backend(self) -> str:
        return self._engine.backend.name

    @property
    def weights(self) -> Parameters:
        return Parameters("weights", self._engine.weights)

    @property
    def biases(self) -> Parameters:
        return Parameters("biases", self._engine.biases)

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
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return engine.outputs(samples)

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
        engine = self._engine
        engine.check_finite()
        return engine.gradient(engine.data(X, y, sample_weight))

    # Training.

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
        engine = self._engine
        engine.check_finite()
        data = engine.data(
            X, y, sample_weight, class_weight=class_weight, label_smoothing=label_smoothing
        )
        samples = fitting.Rows(data, batch_size, shuffle)
        control = fitting.control(
            self,
            epochs=epochs,
            optimizer=optimizer,
            schedule=schedule,
            validation=fitting.validation(engine, validation_data),
            scoring=scoring,
            patience=patience,
            min_delta=min_delta,
            monitor=monitor,
            callbacks=callbacks,
            progress=progress,
        )
        rules = regularizers.checked(
            len(engine.layout.sizes) - 1,
            l1=l1,
            l2=l2,
            frozen=frozen,
            dropout=dropout,
            clip_norm=clip_norm,
            average=average,
        )
        return fitting.fit(self, samples, control, rules, threads, resume_from=resume_from)

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
        """Train on data that come batch by batch, and need not fit into memory.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            Each a batch, or a block of several; taken in their order. `ArrayStream`
            and `ParquetStream` read them from files. In some, all samples may have the weight 0
            (see `fit`); those without rows are passed over.
        epochs : int, default=1
            How often to go through `batches`, which must start anew each time; an iterator or
            generator can be gone through once.
        batch_size : int or None, default=None
            Samples a step, within one of `batches`; the last step may take fewer. None takes
            each as one step.
        steps_per_epoch : int, optional
            The number of steps in an epoch, which `CosineDecay` and `OneCycle` need; by default
            ``len(batches)`` where that is the same.
        class_weight : dict, optional
            As for `fit`; not each of `batches` need have each class.
        label_smoothing : float, default=0.0
            As for `fit`.
        threads : int, optional
            As for `fit`.
        **options
            Others of `fit`: the optimizer, schedule, l1, l2, dropout, clip_norm, average,
            frozen, validation_data, scoring, patience, min_delta, monitor, callbacks, progress.

        Returns
        -------
        History
            As of `fit`. The optimiser's state is kept throughout.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged, unless a later batch is bad.
        TrainingDiverged
            If loss or weights stop being finite, as in `fit`.
        """
        engine = self._engine
        engine.check_finite()
        samples = fitting.Blocks(
            engine, batches, epochs, batch_size, steps_per_epoch, class_weight, label_smoothing
        )
        others: dict[str, Any] = {**options}
        rules = regularizers.checked(len(engine.layout.sizes) - 1, **fitting.of_rules(others))
        validation = fitting.validation(engine, others.pop("validation_data", None))
        control = fitting.control(self, epochs=epochs, validation=validation, **others)
        return fitting.fit(self, samples.begin(), control, rules, threads)

    def fit_step(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        optimizer: Optimizer | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
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
        engine, online = self._engine, self._online
        data = engine.data(X, y, sample_weight)
        if online is None or (optimizer is not None and optimizer != online.optimizer):
            rules = regularizers.checked(len(engine.layout.sizes) - 1)
            online = Training(engine, data, optimizers.checked(optimizer), len(data.X), rules, 1)
            self._online = online
        return online.step(data)

    # Inspection.

    def layer_outputs(self, X: ArrayLike) -> list[Floats]:
        """The output of each layer for X, including the hidden activations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        list of ndarray
            h_1, ..., h_m, of shapes (n_samples, n_i); the last one is what `predict` returns.
        """
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return engine.layer_outputs(samples)

    def per_sample_gradients(self, X: ArrayLike, y: ArrayLike) -> Gradient:
        """The gradient of each sample's own loss, in one compiled call.

        Its mean over the samples is the gradient of `loss_and_gradient`, up to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_{i-1}, n_i) and ``biases[i - 1]`` of shape
            (n_samples, n_i) for layer i. Mind the memory: as many numbers as the network has
            parameters, for each sample.
        """
        engine = self._engine
        engine.check_finite()
        found = engine.per_sample(engine.data(X, y), gradients=True)
        return engine.by_layer(found.gradients)

    def input_gradient(self, X: ArrayLike, y: ArrayLike) -> Floats:
        """∂e/∂X: how each sample's own loss changes with its features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        ndarray of shape (n_samples, n_0)
        """
        engine = self._engine
        engine.check_finite()
        return engine.per_sample(engine.data(X, y), errors=True).errors

    def jacobian(self, X: ArrayLike) -> Gradient:
        """How each output changes with each weight and bias: ∂h_m/∂W_i and ∂h_m/∂b_i.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_m, n_{i-1}, n_i) and ``biases[i - 1]`` of
            shape (n_samples, n_m, n_i) for layer i.
        """
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return engine.by_layer(engine.jacobian(samples))

    def trace(self, X: ArrayLike, y: ArrayLike) -> Trace:
        """Every quantity of the derivation for these samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.

        Returns
        -------
        Trace
            s_i, h_i, ∂e/∂h_i, ∂e/∂s_i, ∇W_i and ∇b_i of every layer, and what they are made of.
        """
        from .trace import trace

        return trace(self, X, y)

    # Copies and files.

    def to_backend(self, backend: str | None) -> Self:
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
        other._engine.use(backend)
        return other

    def save(self, path: StrPath) -> None:
        """Write this network to one safetensors file.

        A file that is there is replaced at once: whenever the program is killed, there is the old
        file or the new one. Links are followed, and permissions stay.

        Parameters
        ----------
        path : str or path-like
            Where to write.

        Raises
        ------
        ValueError
            If the loss is a function, which cannot be saved, or weights are not finite.

        See Also
        --------
        fastbp.save : The same for estimators and pipelines.
        """
        from ..files import file, network

        tensors: dict = {}
        document = network.to_document(self, tensors)
        file.write(path, {"kind": "network", "model": document}, tensors)

    @classmethod
    def load(cls, path: StrPath, *, backend: str | None = None) -> Self:
        """A network from a file that `save` wrote, or a checkpoint.

        Parameters
        ----------
        path : str or path-like
            The file. It may come from anywhere: nothing in it is executed, and no more memory is
            taken than docs/saving.md states.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`. The file does not say.

        Returns
        -------
        Network
            With the weights and the random state of the one that was saved. Of a checkpoint, the
            weights with which training would go on.

        Raises
        ------
        ValueError
            If the file is broken, from a newer fastbp, or has something else than a network.
        OSError
            If there is no such file, or it cannot be read.
        """
        from ..files import file, network

        document, tensors = file.read(path)
        return network.from_file(cls, document, tensors, backend)

    # Exchange with other tools.

    def to_onnx(self, path: StrPath, *, opset: int = 17) -> None:
        """Write this network as an ONNX file.

        Parameters
        ----------
        path : str or path-like
            Where to write; a file that is there is replaced.
        opset : int, default=17
            The version of ONNX's operators, from 9 to 28 (or to what the installed onnx knows).
            Whatever reads the file must know it: onnxruntime knows 17 since 1.12 (2022).

        Notes
        -----
        The graph has one input ``X`` of shape (n_samples, n_0) and one output ``h``,
        h_m of shape (n_samples, n_m), both of the network's dtype; n_samples is free. Needs the
        package onnx: ``pip install 'fastbp[onnx]'``.
        """
        from ..exchange.onnx_export import to_onnx

        self._engine.check_finite()
        to_onnx(self, path, self._engine.loss_spec.output_activation, opset)

    @classmethod
    def from_onnx(
        cls,
        path: StrPath,
        *,
        output: str | None = None,
        loss: Loss | None = None,
        backend: str | None = None,
    ) -> Self:
        """A network from an ONNX file.

        Parameters
        ----------
        path : str or path-like
            The file: linear layers (Gemm, or MatMul and Add) with activations between them, in
            whatever operators they are written.
        output : str, optional
            Which of the graph's outputs is that of the network, if it has several that are not
            labels.
        loss : str or callable, optional
            What to minimise in further training, as for `from_torch`.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the file is broken, has its weights elsewhere, or is not a multi-layer perceptron
            with Network's activations; the message names the node.

        Notes
        -----
        The file may come from anywhere: nothing in it is executed, no other file is read, and
        sizes are checked before memory is taken.
        """
        from ..exchange.onnx_import import from_onnx

        return from_onnx(cls, path, output, loss, backend)

    def to_torch(self) -> Any:
        """This network as a `torch.nn.Sequential`, the output activation included.

        Returns
        -------
        torch.nn.Sequential
            Linear layers and activations, of the network's dtype; its output is that of `predict`
            up to rounding. Without the last entry it gives s_m (logits), where the loss has an
            output activation. After the loss "poisson" comes a ``fastbp.exchange.pytorch.Exp``.
            Its ``state_dict()`` has the weights alone, transposed, as PyTorch has them.
        """
        from ..exchange.pytorch import to_torch

        self._engine.check_finite()
        return to_torch(self, self._engine.loss_spec.output_activation)

    @classmethod
    def from_torch(
        cls,
        module: Any,
        *,
        activation: Activation | None = None,
        loss: Loss | None = None,
        backend: str | None = None,
    ) -> Self:
        """A network from PyTorch's layers.

        Parameters
        ----------
        module : torch.nn.Sequential or dict
            Linear layers with activations between them: Identity, Sigmoid, Tanh, ReLU,
            LeakyReLU(0.01), ELU(), Softplus(), SiLU, GELU(); dropout and Flatten() are left out. It
            may end in Sigmoid or Softmax(dim=1). Or a state_dict with a weight and a bias for each
            linear layer, whose numbers or widths tell their order.
        activation : str or sequence of str, optional
            For a state_dict, which does not tell: as for `Network`.
        loss : str or callable, optional
            What to minimise in further training, as for `Network`. By default log_loss after
            a sigmoid, cross_entropy after a softmax, squared_error after neither. Where the module
            ends in a linear layer, another loss adds its output activation: of a module that gives
            logits, ``loss="cross_entropy"`` makes a network that predicts probabilities.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            For layers that a Network does not have, or that may compute something else than their
            class does (hooks, pruning, parametrizations); it names them. Also for a state_dict that
            could be read in two ways.

        Notes
        -----
        A copy of the module predicts random rows, and the network must give the same outputs. The
        module itself stays as it is.
        """
        from ..exchange.pytorch import from_torch

        return from_torch(cls, module, activation, loss, backend)

    def to_sklearn(self, classes: ArrayLike | None = None) -> Any:
        """This network as a fitted estimator of `sklearn.neural_network`, to predict with.

        Parameters
        ----------
        classes : array-like of shape (n_classes,), optional
            Labels of the classes, sorted, for the losses cross_entropy and log_loss; 0, 1, ...
            by default.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            A classifier for cross_entropy and log_loss. It has what predictions need, and no record
            of a training; its ``fit`` starts anew.

        Raises
        ------
        ValueError
            If the hidden layers do not all have the same activation out of identity, sigmoid, tanh
            and relu.
        """
        self._engine.check_finite()
        scikit_learn = late.load("scikit_learn")
        return scikit_learn.to_sklearn(self, self._engine.loss_spec.output_activation, classes)

    @classmethod
    def from_sklearn(
        cls, estimator: Any, *, loss: Loss | None = None, backend: str | None = None
    ) -> Self:
        """The network of a fitted perceptron of scikit-learn, or of fastbp's estimators.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            Of `sklearn.neural_network` or of fastbp, fitted.
        loss : str or callable, optional
            What to minimise in further training, as for `Network`; by default what the
            estimator does.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network
            With the dtype of the estimator's coefficients. It predicts probabilities or
            values: of two classes, that of ``estimator.classes_[1]``.
        """
        scikit_learn = late.load("scikit_learn")
        return scikit_learn.from_sklearn(cls, estimator, loss, backend)

    def to_keras(self) -> list[Floats]:
        """The weights of this network as a Keras model of Dense layers has them.

        Returns
        -------
        list of ndarray
            W_1, b_1, W_2, b_2, ...: what ``model.set_weights`` takes. The activations are not in
            it, and the model has to have them.
        """
        from ..exchange.keras import to_keras

        self._engine.check_finite()
        return to_keras(self)

    @classmethod
    def from_keras(
        cls,
        model: Any,
        *,
        activation: Activation | None = None,
        loss: Loss | None = None,
        backend: str | None = None,
    ) -> Self:
        """A network from a Keras model, or from a list of its weights.

        Parameters
        ----------
        model : keras.Sequential, functional keras.Model, or list of array-like
            A chain of Dense, Activation, ReLU(), LeakyReLU(0.01), ELU(), Softmax() and Flatten();
            dropout and noise are left out, and Normalization before the first Dense becomes part of
            it. Or the list that ``get_weights()`` gives for Dense layers with biases.
        activation : str or sequence of str, optional
            For a list, which does not tell: of the hidden layers, as for `Network`. (Keras's
            ``"linear"`` is identity here, and its ``"leaky_relu"`` has another slope.)
        loss : str or callable, optional
            As for `from_torch`. For a list it must be given, with the output activation of the
            model: cross_entropy for softmax, log_loss for sigmoid, squared_error for linear,
            poisson for exponential.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network
            A model that begins with Flatten takes its inputs as rows, flattened.

        Raises
        ------
        ValueError
            For layers that a Network does not have; it names them. For a list that is not a kernel
            and a bias by turns.

        Notes
        -----
        The model predicts random rows, and the network must give the same outputs. Of a list, only
        the shapes can be checked: a Dense layer without a bias looks the same with a PReLU.
        """
        from ..exchange.keras import from_keras

        return from_keras(cls, model, activation, loss, backend)

    def to_c(
        self,
        folder: StrPath,
        name: str = "network",
        *,
        weights: Literal["float32", "int8"] = "float32",
        X: ArrayLike | None = None,
    ) -> Self:
        """Write this network as C99 source code that needs no library.

        Three files: ``NAME.h`` and ``NAME.c`` with the function
        ``void NAME_predict(const float x[NAME_INPUTS], float h[NAME_OUTPUTS])`` for one sample (in
        the macros, the name is in capitals), and the program ``NAME_test.c``, which compares it
        with `predict` bit by bit and returns 0 if all agrees. ``NAME_predict_r`` has a third
        argument, ``float scratch[NAME_SCRATCH]``, and may be called by several threads at once.

        Parameters
        ----------
        folder : str or path-like
            Where to write; it is made if it is not there, and files that are there are replaced.
        name : str, default="network"
            Name of the files, and what all names in them begin with: a small letter, then small
            letters, digits and single underscores between them, at most 40 characters. It may
            not end in "_test", nor be that of a header of C, a compiler or an operating system.
        weights : {"float32", "int8"}, default="float32"
            How the weights are kept. "int8" takes a quarter of the memory: each weight is a whole
            number of steps, at most 127, and the step of a unit is a 127th of its largest
            weight. So a weight changes by up to half a step. Biases stay as they are.
        X : array-like of shape (n_samples, n_0), optional
            Samples for the test program; by default eight, normally distributed.

        Returns
        -------
        Network
            The network as it was written: in float32, with the weights as they were rounded. What
            its `predict` gives on the compiled backends, the C function gives to the last bit.

        Raises
        ------
        ValueError
            For a name that cannot be used, weights too large for float32, or samples for which the
            outputs are not finite.

        Notes
        -----
        The source has no dynamic memory: weights are constants, and the outputs of hidden layers
        are static, so only one thread at a time may call ``NAME_predict``. Results do not depend
        on the compiler or its options; options under which they would are refused. Fused
        multiply-adds are instructions where the
        processor has them, else they are computed from float64. They are the same bits as
        `predict` has on a processor with such instructions (on others, the test program may find
        differences), unless a hidden layer overflows.
        """
        from ..exchange.c_source import to_c

        self._engine.check_finite()
        return to_c(self, folder, name, weights, X)
