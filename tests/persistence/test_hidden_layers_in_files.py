"""Networks with a norm, residual layers and prelu: files, and trainings that go on."""

import json

import numpy as np
import pytest
from layer_helpers import LAYERS, make_layers, together

import fastbp
from fastbp.files import file

WIDTHS = [3, 6, 6, 5, 2]


def make(which, backend="numpy", seed=0):
    return make_layers(which, WIDTHS, "squared_error", backend, seed=seed)


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((20, 3)), rng.standard_normal((20, 2))


@pytest.mark.parametrize("which", LAYERS)
def test_saved_networks_come_back(which, tmp_path):
    net, path = make(which), tmp_path / "net.safetensors"
    net.save(path)
    loaded = fastbp.Network.load(path, backend="numpy")
    assert np.array_equal(together(loaded), together(net))
    assert (loaded.norm, loaded.residual) == (net.norm, net.residual)
    assert loaded.layout == net.layout
    X, y = data()
    assert net.fit(X, y, epochs=2) == loaded.fit(X, y, epochs=2)
    assert np.array_equal(together(loaded), together(net))


def test_files_of_plain_networks_have_no_new_fields(tmp_path):
    path = tmp_path / "net.safetensors"
    make({"activation": "relu"}).save(path)
    document, _ = file.read(path)
    assert not {"norm", "residual"} & document["model"].keys()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_checkpoints_go_on_to_the_bit(optimizer, backend, tmp_path):
    X, y = data()
    given = dict(optimizer=optimizer, batch_size=6, dropout=0.2, epochs=4)
    whole = make("all", backend)
    whole.fit(X, y, callbacks=[fastbp.Checkpoint(tmp_path, every_epochs=2)], **given)
    resumed = make("all", backend, seed=3)
    path = min(tmp_path.iterdir())
    resumed.fit(X, y, resume_from=path, **given)
    assert np.array_equal(together(resumed), together(whole))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "batch"}, "norm must be one of"),
        ({"norm": None}, "unknown tensors"),
        ({"norm": "rms"}, "unknown tensors"),
        ({"residual": 1}, "residual must be true or false"),
        ({"activation": ["relu"] * 3}, "unknown tensors"),
        ({"activation": ["prelu", "relu", "softprelu"]}, "activation must be one of"),
    ],
)
def test_changed_documents_are_refused(change, message, tmp_path):
    net, path = make("all"), tmp_path / "net.safetensors"
    net.save(path)
    document, tensors = file.read(path)
    document["model"].update(json.loads(json.dumps(change)))
    arrays = {name: tensors._arrays[name] for name in tensors._arrays}
    file.write(path, document, arrays)
    with pytest.raises(ValueError, match=message):
        fastbp.Network.load(path, backend="numpy")
