"""Exchange of networks with other tools: ONNX, PyTorch, scikit-learn, Keras, and C.

Users call it as methods of `Network`; `register_skl2onnx` is for estimators. Each tool has its own
file, imported when it is asked for.
"""

from ..basis import late


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
