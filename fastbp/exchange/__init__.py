"""Exchange of networks with other tools: ONNX, PyTorch, scikit-learn, Keras, and C.

Users call methods of `Network`, or `register_skl2onnx` for estimators. Each tool has its own
module, which is imported only when needed.
"""

from ..basis import late
from .integers import IntegerNetwork as IntegerNetwork
from .integers import Unlike as Unlike


def register_skl2onnx() -> None:
    """Let skl2onnx convert fastbp's estimators.

    After one call, ``skl2onnx.to_onnx`` and ``convert_sklearn`` convert `MLPClassifier`,
    `MLPRegressor`, and `MLPEnsembleClassifier` and `MLPEnsembleRegressor` of these, alone or in
    scikit-learn's pipelines. skl2onnx's options for classifiers work, too: "zipmap", "nocl" and
    "output_class_labels".

    Raises
    ------
    ImportError
        If skl2onnx is not installed: ``pip install skl2onnx``.

    Notes
    -----
    The graph is in float64 if the input is a DoubleTensorType, else in float32. (onnxruntime has
    no ZipMap in float64: pass ``options={"zipmap": False}``.) Subclasses are not converted, since
    they may compute something else. Further calls have no effect.
    """
    late.load("skl2onnx").register()
