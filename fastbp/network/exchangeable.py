"""The methods of networks that write them for other tools, and read them from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, overload

from ..basis import late
from ..basis.names import keywords

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Activation, Backend, Floats, Loss, StrPath
    from ..engine.engine import Engine
    from ..exchange.integers import IntegerNetwork


class Exchangeable:
    """The part of `Network` that exchanges networks with other tools."""

    _engine: Engine

    @keywords
    def to_onnx(self, path: StrPath, *, opset: int = 17) -> None:
        """Write this network as an ONNX file.

        Parameters
        ----------
        path : str or path-like
            The file to write; an existing file is replaced.
        opset : int, default=17
            The version of ONNX's operators, from 9 to 28, or to the newest that the installed onnx
            supports. The program that reads the file must support it, too; onnxruntime supports
            17 since 1.12 (2022).

        Notes
        -----
        The graph has one input ``X`` of shape (n_samples, n_0), for a network with learned inputs
        with the columns that `predict` takes, codes and NaN included, and one output ``h``,
        h_m of shape (n_samples, n_m), both of the network's dtype; n_samples is variable. A network
        with heads has an output for each head, ``h_0``, ``h_1`` and so on. The graph
        computes in that dtype, even if the network has a ``compute_dtype``. This requires the
        package onnx: ``pip install 'fastbp[onnx]'``.

        Examples
        --------
        >>> import fastbp, onnx, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "net.onnx")
        >>> fastbp.Network([2, 8, 3], loss="cross_entropy").to_onnx(path)
        >>> [node.op_type for node in onnx.load(path).graph.node]
        ['Gemm', 'Relu', 'Gemm', 'Softmax', 'Identity']
        """
        from ..exchange.onnx_export import to_onnx

        self._engine.check_finite()
        to_onnx(self, path, self._engine.output_activation, opset)

    @classmethod
    @keywords
    def from_onnx(
        cls,
        path: StrPath,
        *,
        output: str | None = None,
        loss: Loss | None = None,
        backend: Backend | None = None,
    ) -> Self:
        """Read a network from an ONNX file.

        Parameters
        ----------
        path : str or path-like
            The file. The graph must consist of linear layers (Gemm, or MatMul and Add) with
            activations between them, which may be written in several operators.
        output : str, optional
            Name of the output to use, if the graph has several outputs that are not labels.
        loss : str or callable, optional
            The loss for further training, as for `from_torch`.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the file is broken, stores its weights in another file, or is not a multi-layer
            perceptron with Network's activations; the message names the node.

        Notes
        -----
        The file need not be trusted: nothing in it is executed, no other file is read, and
        sizes are checked before memory is allocated.

        Examples
        --------
        >>> import fastbp, os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "net.onnx")
        >>> fastbp.Network([2, 8, 3], loss="cross_entropy").to_onnx(path)
        >>> net = fastbp.Network.from_onnx(path, backend="numpy")
        >>> net.layout.sizes, net.layout.activations, net.loss
        ((2, 8, 3), ('relu',), 'cross_entropy')
        """
        from ..exchange.onnx_import import from_onnx

        return from_onnx(cls, path, output, loss, backend)

    @keywords
    def to_torch(self) -> Any:
        """Convert this network to a `torch.nn.Sequential`, including the output activation.

        Returns
        -------
        torch.nn.Sequential
            Linear layers and activations, of the network's dtype. The output equals that of
            `predict` up to rounding; a ``compute_dtype`` stays behind. If the loss has an output
            activation, it is the last entry; without it the module returns s_m (logits). For the
            loss "poisson" it is a ``fastbp.exchange.pytorch.Exp``. Normalisations are LayerNorm or
            RMSNorm modules. A layer with a residual connection is a
            ``fastbp.exchange.pytorch.Residual``, a module around the layer's. Before the layers of
            a network with learned inputs is a ``fastbp.exchange.pytorch.Inputs``, which takes X as
            `predict` does and cannot be imported again. With heads, the last entry is a
            ``fastbp.exchange.pytorch.Heads``, and the module returns a tuple. ``state_dict()`` has
            the weights and biases; PyTorch stores weights transposed.

        Examples
        --------
        >>> import fastbp
        >>> fastbp.Network([2, 8, 3], loss="cross_entropy").to_torch()
        Sequential(
          (0): Linear(in_features=2, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=3, bias=True)
          (3): Softmax(dim=1)
        )
        """
        from ..exchange.pytorch import to_torch

        self._engine.check_finite()
        return to_torch(self, self._engine.output_activation)

    @classmethod
    @keywords
    def from_torch(
        cls,
        module: Any,
        *,
        activation: Activation | None = None,
        loss: Loss | None = None,
        backend: Backend | None = None,
    ) -> Self:
        """Convert PyTorch's layers to a network.

        Parameters
        ----------
        module : torch.nn.Sequential or dict
            Linear layers with activations between them: Identity, Sigmoid, Tanh, ReLU,
            LeakyReLU(0.01), ELU(), Softplus(), SiLU, GELU(), Hardtanh(), SELU, Mish. It may end in
            each of these, or in Softmax(dim=1). Dropout and Flatten() are ignored. Or a state_dict
            with a weight and a bias for each linear layer, in an order that follows from their
            numbers or widths. In a module, hidden layers may have a LayerNorm or RMSNorm (with
            eps=1e-5) before the activation, which may be a PReLU, and may be in
            ``fastbp.exchange.pytorch.Residual`` modules.
        activation : str or sequence of str, optional
            Activations of the hidden layers, as for `Network`; only for a state_dict that has
            hidden layers, since it does not tell them.
        loss : str or callable, optional
            The loss for further training, as for `Network`. By default log_loss after a sigmoid,
            cross_entropy after a softmax, squared_error otherwise. The module's last activation is
            the network's output activation, if the loss may have it. If the module ends in a linear
            layer, another loss adds its canonical output activation: with
            ``loss="cross_entropy"``, a module that returns logits becomes a network that predicts
            probabilities.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If a layer has no equivalent in Network, or may compute something else than its class
            does (hooks, pruning, parametrizations); the message names it. Also if a state_dict is
            ambiguous.

        Notes
        -----
        As a check, a copy of the module predicts random rows, and the network must return the same
        outputs. The module itself is not changed.

        Examples
        --------
        >>> import fastbp
        >>> from torch import nn
        >>> module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> net = fastbp.Network.from_torch(module, loss="cross_entropy")
        >>> net.layout.sizes, net.layout.activations
        ((4, 8, 3), ('relu',))
        """
        from ..exchange.pytorch import from_torch

        return from_torch(cls, module, activation, loss, backend)

    @keywords
    def to_sklearn(self, classes: ArrayLike | None = None) -> Any:
        """Convert this network to a fitted estimator of `sklearn.neural_network` for prediction.

        Parameters
        ----------
        classes : array-like of shape (n_classes,), optional
            Labels of the classes, sorted, for the losses cross_entropy and log_loss; 0, 1, ...
            by default. (Without a loss, softmax and sigmoid outputs are taken for theirs.)

        Returns
        -------
        sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            A classifier for cross_entropy and log_loss, else a regressor. It has the attributes
            that prediction needs, but no state of a training; its ``fit`` starts from scratch.

        Raises
        ------
        ValueError
            Unless all hidden layers have the same activation, and it is identity, sigmoid, tanh or
            relu.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 8, 3], loss="cross_entropy", seed=0)
        >>> classifier = net.to_sklearn(["cat", "cow", "dog"])
        >>> classifier.predict([[0.0, 1.0]]).item() in ["cat", "cow", "dog"]
        True
        """
        self._engine.check_finite()
        scikit_learn = late.load("scikit_learn")
        return scikit_learn.to_sklearn(self, self._engine.output_activation, classes)

    @classmethod
    @keywords
    def from_sklearn(
        cls, estimator: Any, *, loss: Loss | None = None, backend: Backend | None = None
    ) -> Self:
        """Convert a fitted estimator of scikit-learn or fastbp to a network.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            A fitted estimator of `sklearn.neural_network` or of fastbp.
        loss : str or callable, optional
            The loss for further training, as for `Network`; by default the estimator's, with its
            parameter.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network
            A network with the dtype of the estimator's coefficients. It predicts probabilities or
            values; with two classes, the probability of ``estimator.classes_[1]``.

        Examples
        --------
        >>> import fastbp
        >>> from sklearn.neural_network import MLPRegressor
        >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), random_state=0, solver="lbfgs")
        >>> net = fastbp.Network.from_sklearn(regressor.fit([[0.0], [1.0]], [0, 1]))
        >>> net.layout.sizes, net.layout.dtype.name, net.loss
        ((1, 8, 1), 'float64', 'squared_error')
        """
        scikit_learn = late.load("scikit_learn")
        return scikit_learn.from_sklearn(cls, estimator, loss, backend)

    @keywords
    def to_keras(self) -> list[Floats]:
        """Return the weights of this network for a Keras model of Dense layers.

        Returns
        -------
        list of ndarray
            W_1, b_1, W_2, b_2, ..., for ``model.set_weights``. The model must have the network's
            activations.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 8, 3], loss="cross_entropy")
        >>> [array.shape for array in net.to_keras()]
        [(2, 8), (8,), (8, 3), (3,)]
        """
        from ..exchange.keras import to_keras

        self._engine.check_finite()
        return to_keras(self)

    @classmethod
    @keywords
    def from_keras(
        cls,
        model: Any,
        *,
        activation: Activation | None = None,
        loss: Loss | None = None,
        backend: Backend | None = None,
    ) -> Self:
        """Convert a Keras model, or a list of its weights, to a network.

        Parameters
        ----------
        model : keras.Sequential, functional keras.Model, or list of array-like
            A chain of Dense, Activation, ReLU(), LeakyReLU(0.01), ELU(), Softmax() and Flatten().
            Dropout and noise layers are ignored; Normalization before the first Dense layer is
            merged into it. Or the result of ``get_weights()`` for Dense layers with biases.
        activation : str or sequence of str, optional
            Activations of the hidden layers, as for `Network`; only for a list that has hidden
            layers, since it does not tell them. (Keras's ``"linear"`` is identity here, and its
            ``"leaky_relu"`` has another slope.)
        loss : str or callable, optional
            As for `from_torch`. For a list it is required, and its canonical output activation must
            be the model's: cross_entropy for softmax, log_loss for sigmoid, squared_error for
            linear, poisson for exponential.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`.

        Returns
        -------
        Network
            If the model begins with Flatten, the network's inputs are flattened rows.

        Raises
        ------
        ValueError
            If a layer has no equivalent in Network; the message names it. Also if a list does not
            alternate between kernels and biases.

        Notes
        -----
        As a check, the model predicts random rows, and the network must return the same outputs.
        For a list only the shapes can be checked; a Dense layer without bias followed by a PReLU
        has the same shapes as a Dense layer with bias.

        Examples
        --------
        >>> import fastbp
        >>> weights = fastbp.Network([2, 8, 3], loss="cross_entropy").to_keras()
        >>> net = fastbp.Network.from_keras(weights, activation="relu", loss="cross_entropy")
        >>> net.layout.sizes, net.layout.activations
        ((2, 8, 3), ('relu',))
        """
        from ..exchange.keras import from_keras

        return from_keras(cls, model, activation, loss, backend)

    @overload
    def to_c(
        self,
        folder: StrPath,
        name: str = "network",
        *,
        weights: Literal["float32", "int8"] = "float32",
        arithmetic: Literal["float32"] = "float32",
        X: ArrayLike | None = None,
        jacobian: bool = False,
        train: Literal["sgd"] | None = None,
    ) -> Self: ...
    @overload
    def to_c(
        self,
        folder: StrPath,
        name: str = "network",
        *,
        weights: Literal["int8"],
        arithmetic: Literal["int8"],
        X: ArrayLike,
    ) -> IntegerNetwork: ...
    @keywords
    def to_c(
        self,
        folder: StrPath,
        name: str = "network",
        *,
        weights: Literal["float32", "int8"] = "float32",
        arithmetic: Literal["float32", "int8"] = "float32",
        X: ArrayLike | None = None,
        jacobian: bool = False,
        train: Literal["sgd"] | None = None,
    ) -> Self | IntegerNetwork:
        """Write this network as C99 source code that needs no library.

        There are three files. ``NAME.h`` and ``NAME.c`` have the function
        ``void NAME_predict(const float x[NAME_INPUTS], float h[NAME_OUTPUTS])`` for one sample (in
        macros, the name is in capitals). The program ``NAME_test.c`` compares its results with
        those of `predict` bit by bit, and returns 0 if all are equal. ``NAME_predict_r`` has a
        third argument, ``float scratch[NAME_SCRATCH]``; several threads may call it at once.

        Parameters
        ----------
        folder : str or path-like
            The folder to write to. It is created if it does not exist; existing files are
            replaced.
        name : str, default="network"
            Name of the files, and prefix of all names in them: a lower-case letter, followed by
            lower-case letters, digits and single underscores between them, at most 40 characters.
            It must not end in "_test", nor be the name of a header of C, a compiler or an
            operating system.
        weights : {"float32", "int8"}, default="float32"
            Storage of the weights. "int8" takes a quarter of the memory: each weight is rounded
            to a whole number of steps, at most 127, where a unit's step is 1/127 of its largest
            weight. So a weight changes by up to half a step. Biases are not rounded.
        arithmetic : {"float32", "int8"}, default="float32"
            "int8", with weights in int8, computes in whole numbers from the inputs, as they are
            rounded, to the last sums: the outputs of hidden layers are int8, and ``NAME_integers``
            has no floats. It needs X, and rows beyond their ranges count as if at the bounds. See
            `fastbp.exchange.IntegerNetwork`.
        X : array-like of shape (n_samples, n_0), optional
            Samples for the test program; by default eight normally distributed ones. For
            ``arithmetic="int8"`` the samples that give the ranges of all layers, such as those of
            the training (the test program has up to 64 of them).
        jacobian : bool, default=False
            Whether to write ``NAME_jacobian(x, h, J, scratch)``, too: it computes the outputs and
            the derivatives ``float J[NAME_OUTPUTS][NAME_INPUTS]`` of `input_jacobian`.
        train : {None, "sgd"}, default=None
            "sgd" writes ``NAME_fit_step(parameters, x, y, rate, scratch)``, too: the step that
            `fit_step` takes for one sample with ``SGD(rate)`` and without penalties. The parameters
            are the caller's copy of the constants ``float NAME_parameters[NAME_PARAMETERS]``;
            ``NAME_predict_with(parameters, x, h, scratch)`` predicts with them.

        Returns
        -------
        Network or fastbp.exchange.IntegerNetwork
            The network as it was written: in float32 without a ``compute_dtype``, with the rounded
            weights. The C function returns the same bits as its `predict` on the compiled backends;
            for a loss that is a distribution, those of ``forward(X).output``, its parameters.
            For ``arithmetic="int8"`` an `IntegerNetwork`, whose ``calibration`` says how far its
            outputs are from those in floats.

        Raises
        ------
        ValueError
            For an invalid name, weights too large for float32, or samples for which the outputs
            are not finite.

        Notes
        -----
        The source uses no dynamic memory: weights are constants, and the outputs of hidden layers
        are static, so only one thread at a time may call ``NAME_predict``. Results do not depend
        on the compiler or its options; the source refuses to compile with options that would
        change them. Fused multiply-adds are instructions if the processor has them, else they are
        computed from float64. The bits equal those of `predict` on a processor with such
        instructions (on others, the test program may find differences), unless a hidden layer
        overflows.

        Examples
        --------
        >>> import fastbp, os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> net = fastbp.Network([2, 8, 1], loss="log_loss", seed=0)
        >>> written = net.to_c(folder, "valve")
        >>> sorted(os.listdir(folder))
        ['valve.c', 'valve.h', 'valve_test.c']
        """
        from ..exchange.c_source import to_c

        self._engine.check_finite()
        return to_c(self, folder, name, weights, X, arithmetic, jacobian, train)
