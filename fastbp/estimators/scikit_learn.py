"""Converts networks to and from fitted estimators of sklearn.neural_network."""

import inspect

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..basis import spec
from ..exchange.activations import EQUIVALENTS, check_plain
from ..exchange.chain import Chain, extras_of, network_of
from .base import MultilayerPerceptron
from .network import check_layers
from .parameters import hidden_activations

# scikit-learn's names of output activations -> ours.
OUTPUTS = {theirs: ours for ours in spec.NO_LOSS.outputs if (theirs := EQUIVALENTS[ours].sklearn)}


def from_sklearn(cls, estimator, loss, backend):
    """See Network.from_sklearn."""
    if not isinstance(estimator, (MLPClassifier, MLPRegressor, MultilayerPerceptron)):
        raise TypeError(
            "expected a fitted MLPClassifier or MLPRegressor, of scikit-learn or fastbp, "
            f"got {type(estimator).__name__}"
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ValueError(f"{type(estimator).__name__} is not fitted: call its fit first") from error
    check_layers(estimator)
    hidden = hidden_activations(estimator.activation, len(estimator.coefs_) - 1)
    if estimator.out_activation_ not in [*OUTPUTS]:
        raise ValueError(
            f"out_activation_ of a Network must be one of {', '.join(OUTPUTS)}, got "
            f"{estimator.out_activation_!r}"
        )
    parameter, constrained, extras = None, None, []
    if isinstance(estimator, MultilayerPerceptron):
        constrained = estimator._constraint(len(estimator.coefs_[0])) or None
        extras = extras_of(estimator._network())
        if loss is None:
            loss, parameter = estimator._loss()
    output = OUTPUTS[estimator.out_activation_]
    chain = Chain(estimator.coefs_, estimator.intercepts_, hidden, output, extras)
    return network_of(cls, chain, loss, backend, parameter, constrained)


def to_sklearn(net, output, classes):
    """See Network.to_sklearn."""
    check_plain(net, "scikit-learn")
    weights, biases = [W.copy() for W in net.weights], [b.copy() for b in net.biases]
    if net._engine.classifies:
        estimator = MLPClassifier()
        estimator._label_binarizer = _binarizer(output, len(biases[-1]), classes)
        estimator.classes_ = estimator._label_binarizer.classes_
        if output == "softmax" and len(biases[-1]) == 2:
            # scikit-learn has one output for two classes: softmax(s)_1 = sigmoid(s_1 - s_0).
            weights[-1] = weights[-1][:, 1:] - weights[-1][:, :1]
            biases[-1] = biases[-1][1:] - biases[-1][:1]
            output = "sigmoid"
    elif net._engine.distribution is not None:
        raise ValueError(
            f"scikit-learn's perceptrons have no loss {net.loss!r}, whose outputs are parameters "
            "of a distribution"
        )
    elif classes is not None:
        raise ValueError(f"classes are for classification, but the loss is {net.loss!r}")
    elif output not in OUTPUTS.values():
        raise ValueError(
            f"scikit-learn's perceptrons cannot end in {output}, only in "
            f"{', '.join(OUTPUTS.values())}"
        )
    elif output == "exp":
        if "loss" not in inspect.signature(MLPRegressor).parameters:
            raise ValueError("MLPRegressor has the loss poisson since scikit-learn 1.7: update it")
        estimator = MLPRegressor(loss="poisson")
    else:
        estimator = MLPRegressor()
    estimator.set_params(
        hidden_layer_sizes=net.layout.sizes[1:-1], activation=_activation(net.layout.activations)
    )
    estimator.coefs_, estimator.intercepts_ = weights, biases
    estimator.out_activation_ = EQUIVALENTS[output].sklearn
    estimator.n_features_in_ = net.layout.sizes[0]
    estimator.n_outputs_ = len(biases[-1])
    estimator.n_layers_ = len(net.layout.sizes)
    return estimator


def _activation(names):
    """Return scikit-learn's name of the activation that all hidden layers must share."""
    theirs = {ours: name for ours in spec.ACTIVATIONS if (name := EQUIVALENTS[ours].sklearn)}
    if len(set(names)) > 1 or not set(names) <= set(theirs):
        raise ValueError(
            "scikit-learn's perceptrons have one activation for all hidden layers, out of "
            f"{', '.join(theirs)}; this network has {', '.join(map(str, names))}"
        )
    return theirs[names[0]] if names else "identity"


def _binarizer(output, n_outputs, classes):
    """Return the LabelBinarizer that turns outputs of scikit-learn's classifier into classes."""
    if output == "sigmoid" and n_outputs > 1:  # multi-label: each output is a class by itself
        if classes is not None:
            raise ValueError(
                "classes are for classes that exclude each other; this network is multi-label"
            )
        return LabelBinarizer().fit(np.tile([[0], [1]], n_outputs))
    n = 2 if output == "sigmoid" else n_outputs
    try:
        classes = np.arange(n) if classes is None else np.ravel(classes)
    except ValueError:  # lists of different lengths
        raise ValueError(
            f"classes must be {n} different labels in sorted order, got {classes!r}"
        ) from None
    if len(classes) != n or not np.array_equal(np.unique(classes), classes):
        raise ValueError(f"classes must be {n} different labels in sorted order, got {classes!r}")
    return LabelBinarizer().fit(classes)
