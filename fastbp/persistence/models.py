"""`save` and `load` for all kinds of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ..basis.names import keywords
from ..files import file, network, schema
from ..network.network import Network
from . import ensembles, estimators, tabular, transformers

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from ..basis.annotations import StrPath
    from ..estimators.ensembles import MLPEnsembleClassifier, MLPEnsembleRegressor
    from ..estimators.mlp import MLPClassifier, MLPRegressor
    from ..tabular.estimators import TabularClassifier, TabularRegressor

    Estimator: TypeAlias = (
        MLPClassifier
        | MLPRegressor
        | MLPEnsembleClassifier
        | MLPEnsembleRegressor
        | TabularClassifier
        | TabularRegressor
    )
    Model: TypeAlias = Network | Estimator | Pipeline


@keywords
def save(model: Model, path: StrPath, *, notes: dict[str, Any] | None = None) -> None:
    """Write a model to one safetensors file, without pickle.

    An existing file is replaced atomically: if the program is killed, the path holds either the
    old file or the new one. Links are followed, and the file's permissions are kept.

    Parameters
    ----------
    model : Network, MLPClassifier, MLPRegressor, their ensembles, TabularClassifier, \
            TabularRegressor or sklearn.pipeline.Pipeline
        The model; estimators must be fitted. A pipeline must end in an MLPClassifier or
        MLPRegressor; the steps before may be ColumnTransformer, SimpleImputer, StandardScaler,
        MinMaxScaler, OneHotEncoder, "passthrough", or pipelines of these. For a search, save its
        ``best_estimator_``.
    path : str or path-like
        The file to write.
    notes : dict, optional
        Anything else to store, such as where the data came from. The values must be
        representable in JSON. ``fastbp info`` shows them.

    Raises
    ------
    TypeError
        If the model, or a step of a pipeline, is of another class.
    ValueError
        If a part of the model cannot be saved, such as a function as loss or callbacks, or if
        the estimator is not fitted.

    See Also
    --------
    Network.save : The same as a method.

    Examples
    --------
    >>> import fastbp, os, tempfile
    >>> regressor = fastbp.MLPRegressor(random_state=0, tol=1.0).fit([[0.0], [1.0]], [0, 1])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> fastbp.save(regressor, path)
    >>> fastbp.load(path).predict([[0.5]]) == regressor.predict([[0.5]])
    array([ True])
    """
    tensors: dict = {}
    if isinstance(model, Network):
        kind, document = "network", network.to_document(model, tensors)
    elif transformers.is_pipeline(model):
        kind, document = "pipeline", transformers.to_document(model, tensors)
    elif type(model) in ensembles.CLASSES.values():
        kind, document = "ensemble", ensembles.to_document(model, tensors)
    elif type(model) in tabular.CLASSES.values():
        kind, document = "tabular", tabular.to_document(model, tensors)
    else:
        kind, document = "estimator", estimators.to_document(model, tensors)
    file.write(path, {"kind": kind, "model": document}, tensors, notes)


@keywords
def load(path: StrPath) -> Model:
    """Read a model from a file that `save` or `Network.save` wrote, or a checkpoint's network.

    Parameters
    ----------
    path : str or path-like
        The file. It need not be trusted: nothing in it is executed, and memory is limited as
        docs/saving.md states.

    Returns
    -------
    Network, MLPClassifier, MLPRegressor, their ensembles, TabularClassifier, TabularRegressor or \
            sklearn.pipeline.Pipeline
        The model. On the same backend its predictions equal the saved model's to the last bit.
        It can be trained further.

    Raises
    ------
    ValueError
        If the file is broken, or was written by a newer fastbp.
    OSError
        If the file does not exist or cannot be read.

    Examples
    --------
    >>> import fastbp, os, tempfile
    >>> net = fastbp.Network([2, 3, 1], loss="log_loss", seed=0, backend="numpy")
    >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
    >>> fastbp.save(net, path)
    >>> model = fastbp.load(path)
    >>> isinstance(model, fastbp.Network) and model.layout.sizes
    (2, 3, 1)
    """
    with file.named(path):
        return model_of(*file.read(path))


def model_of(document, tensors):
    """Return the model that a file's document and tensors describe."""
    kind = schema.text("kind", document.get("kind"))
    read: Any = {
        "ensemble": ensembles,
        "estimator": estimators,
        "pipeline": transformers,
        "tabular": tabular,
    }.get(kind)
    if read is None:
        return network.from_file(Network, document, tensors, None)
    schema.fields("the document", document, ("kind", "model"))
    model = read.from_document(document["model"], tensors)
    tensors.end()
    return model
