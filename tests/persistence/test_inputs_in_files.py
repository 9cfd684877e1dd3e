"""Networks with categories and missing numbers: files, and trainings that go on."""

import numpy as np
import pytest
from input_helpers import INPUTS, data_for, make_inputs
from layer_helpers import together

import fastbp
from fastbp.files import file


def make(which, backend="numpy", seed=0):
    return make_inputs(which, [6, 2], "squared_error", backend, seed=seed)


@pytest.mark.parametrize("which", INPUTS)
def test_saved_networks_come_back(which, tmp_path):
    net, path = make(which), tmp_path / "net.safetensors"
    X, y = data_for(net, 20)
    net.calibrate(X, y)
    net.save(path)
    loaded = fastbp.Network.load(path, backend="numpy")
    assert np.array_equal(together(loaded), together(net))
    assert loaded.layout == net.layout and loaded.layout.inputs == tuple(INPUTS[which])
    assert np.array_equal(loaded.predict_interval(X), net.predict_interval(X))
    assert net.fit(X, y, epochs=2) == loaded.fit(X, y, epochs=2)
    assert np.array_equal(together(loaded), together(net))


def test_files_of_plain_networks_have_no_new_fields(tmp_path):
    path = tmp_path / "net.safetensors"
    fastbp.Network([3, 2], loss="squared_error").save(path)
    document, _ = file.read(path)
    assert "inputs" not in document["model"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_checkpoints_go_on_to_the_bit(optimizer, backend, tmp_path):
    whole, resumed = make("all", backend), make("all", backend, seed=3)
    X, y = data_for(whole, 20)
    given = dict(optimizer=optimizer, batch_size=6, dropout=0.2, epochs=4)
    whole.fit(X, y, callbacks=[fastbp.Checkpoint(tmp_path, every_epochs=2)], **given)
    resumed.fit(X, y, resume_from=min(tmp_path.iterdir()), **given)
    assert np.array_equal(together(resumed), together(whole))


def test_a_checkpoint_of_other_inputs_is_refused(tmp_path):
    net = make("missing")
    X, y = data_for(net, 20)
    X = np.nan_to_num(X)
    net.fit(X, y, callbacks=[fastbp.Checkpoint(tmp_path)], epochs=1)
    how = {"dtype": "float64", "activation": "tanh", "backend": "numpy"}
    plain = fastbp.Network([4, 6, 2], loss="squared_error", **how)
    with pytest.raises(ValueError, match="inputs"):
        plain.fit(X, y, resume_from=min(tmp_path.iterdir()), epochs=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "unknown tensors"),
        ([], "inputs"),
        ([{"columns": 4, "missing": True}] * 2, "layer_sizes"),
        ([{"columns": 3, "missing": True}], "layer_sizes"),
        ([{"columns": 4, "missing": False}], "inputs"),
        ([{"columns": 4, "missing": 1}], "missing must be true or false"),
        ([{"columns": -4, "missing": True}], "columns"),
        ([{"categories": 3, "dimension": 4}], "tensor"),
        ([{"categories": 2**30, "dimension": 4}], "tensor|float32"),
        ([{"categories": 3.5, "dimension": 4}], "categories"),
        ([{"categories": 3}], "inputs|dimension"),
        ([{"columns": 4, "missing": True, "more": 1}], "more"),
        ("numeric", "inputs"),
        ([7], "inputs"),
    ],
    ids=str,
)
def test_changed_documents_are_refused(change, message, tmp_path):
    net, path = make("missing"), tmp_path / "net.safetensors"
    net.save(path)
    document, tensors = file.read(path)
    document["model"]["inputs"] = change
    if change is None:
        del document["model"]["inputs"]
    file.write(path, document, dict(tensors._arrays))
    with pytest.raises(ValueError, match=message):
        fastbp.Network.load(path, backend="numpy")
