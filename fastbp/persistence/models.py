"""`save` and `load`, for every kind of model that can be kept in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..files import file, network, schema
from ..network.network import Network
from . import ensembles, estimators, transformers

if TYPE_CHECKING:
    from ..basis.annotations import StrPath


def save(model: Any, path: StrPath, *, notes: dict[str, Any] | None = None) -> None:
    """Write a model to one safetensors file, without pickle.

    A file that is there is replaced at once: whenever the program is killed, there is the old
    file or the new one. Links are followed, and permissions stay.

    Parameters
    ----------
    model : Network, MLPClassifier, MLPRegressor, their ensembles or sklearn.pipeline.Pipeline
        What to save; estimators are fitted. A pipeline ends in an MLPClassifier or MLPRegressor,
        after ColumnTransformer, SimpleImputer, StandardScaler, MinMaxScaler, OneHotEncoder,
        "passthrough", or pipelines of these. Of a search, save the ``best_estimator_``.
    path : str or path-like
        Where to write.
    notes : dict, optional
        What else to remember, such as where the data came from, in what JSON can hold;
        ``fastbp info`` shows it.

    Raises
    ------
    TypeError
        For a model, or a step of a pipeline, of another class.
    ValueError
        If a part cannot be saved, such as a function as loss, or callbacks; or if the estimator
        is not fitted.

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
    else:
        kind, document = "estimator", estimators.to_document(model, tensors)
    file.write(path, {"kind": kind, "model": document}, tensors, notes)


def load(path: StrPath) -> Any:
    """A model from a file that `save` or `Network.save` wrote, or the network of a checkpoint.

    Parameters
    ----------
    path : str or path-like
        The file. It may come from anywhere: nothing in it is executed, and no more memory is
        taken than docs/saving.md states.

    Returns
    -------
    Network, MLPClassifier, MLPRegressor, their ensembles or sklearn.pipeline.Pipeline
        It predicts what the one that was saved did, to the last bit on the same backend, and
        can be trained further.

    Raises
    ------
    ValueError
        If the file is broken, or from a newer fastbp.
    OSError
        If there is no such file, or it cannot be read.
    """
    return model_of(*file.read(path))


def model_of(document, tensors):
    """The model that a file's document and tensors are of."""
    kind = schema.text("kind", document.get("kind"))
    read = {"ensemble": ensembles, "estimator": estimators, "pipeline": transformers}.get(kind)
    if read is None:
        return network.from_file(Network, document, tensors, None)
    schema.fields("the document", document, ("kind", "model"))
    model = read.from_document(document["model"], tensors)
    tensors.end()
    return model
