"""Exchange of networks with other tools: ONNX, PyTorch, scikit-learn, Keras, and C.

These are methods of `Network`, which is where they are to be found by users; `register_skl2onnx` is
for estimators. Each tool has a file of its own, imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from ..basis import late
from ..basis.layout import Layout

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Activation, Floats, Loss, StrPath


class Exchange:
    """The methods of `Network` that write it for another tool, or read it from there."""

    # Of Network.
    layout: Layout
    _loss: Any
    _check_parameters: Callable

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
        from .onnx_export import to_onnx

        self._check_parameters()
        to_onnx(self, path, self._loss.output_activation, opset)

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
        from .onnx_import import from_onnx

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
        from .pytorch import to_torch

        self._check_parameters()
        return to_torch(self, self._loss.output_activation)

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
        from .pytorch import from_torch

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
        self._check_parameters()
        scikit_learn = late.load("scikit_learn")
        return scikit_learn.to_sklearn(self, self._loss.output_activation, classes)

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
        from .keras import to_keras

        self._check_parameters()
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
        from .keras import from_keras

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
        from .c_source import to_c

        self._check_parameters()
        return to_c(self, folder, name, weights, X)


def register_skl2onnx() -> None:
    """Let skl2onnx convert fastbp's estimators.

    After one call, ``skl2onnx.to_onnx`` and ``convert_sklearn`` take `MLPClassifier`,
    `MLPRegressor`, and `MLPEnsembleClassifier` and `MLPEnsembleRegressor` of these, by
    themselves and in scikit-learn's pipelines, with the options that skl2onnx has for its own
    classifiers ("zipmap", "nocl", "output_class_labels").

    Raises
    ------
    ImportError
        If skl2onnx is not installed: ``pip install skl2onnx``.

    Notes
    -----
    An input of DoubleTensorType makes a graph in float64, any other one in float32. (onnxruntime
    has no ZipMap in float64: pass ``options={"zipmap": False}``.) Subclasses are not converted,
    since what they change is not known. Calling it again does no harm.
    """
    late.load("skl2onnx").register()
