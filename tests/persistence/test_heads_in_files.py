"""Networks with several heads: files, and trainings that go on."""

import json

import numpy as np
import pytest
from head_helpers import HEADS, make_heads, samples_of, together

import fastbp
from fastbp.files import file


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", HEADS)
def test_saved_networks_come_back(which, dtype, tmp_path):
    net, path = make_heads(which, dtype=dtype), tmp_path / "net.safetensors"
    net.save(path)
    loaded = fastbp.Network.load(path, backend="numpy")
    assert (loaded.loss, loaded.loss_weights) == (net.loss, net.loss_weights)
    assert loaded.layout == net.layout
    assert np.array_equal(together(loaded), together(net))
    X, y = samples_of(net, 20)
    assert net.fit(X, y, epochs=2) == loaded.fit(X, y, epochs=2)
    assert np.array_equal(together(loaded), together(net))
    for one, other in zip(net.predict(X), fastbp.load(path).predict(X), strict=True):
        assert one.shape == other.shape


def test_files_of_other_networks_have_no_new_field(tmp_path):
    path = tmp_path / "net.safetensors"
    fastbp.Network([2, 1], loss="squared_error").save(path)
    document, _ = file.read(path)
    assert "loss_weights" not in document["model"]


def test_checkpoints_go_on_to_the_bit(backend, tmp_path):
    given = dict(optimizer="adam", batch_size=6, dropout=0.2, epochs=4)
    whole = make_heads("all", backend)
    X, y = samples_of(whole, 20)
    whole.fit(X, y, callbacks=[fastbp.Checkpoint(tmp_path, every_epochs=2)], **given)
    resumed = make_heads("all", backend, seed=3)
    path = min(tmp_path.iterdir())
    resumed.fit(X, y, resume_from=path, **given)
    assert np.array_equal(together(resumed), together(whole))


@pytest.mark.parametrize(
    "other",
    [
        fastbp.Network([5, 9, 4], activation="tanh", loss="squared_error", dtype="float64"),
        fastbp.Network(
            [5, 9, 4], activation="tanh", loss=HEADS["class and count"][0], dtype="float64"
        ),
    ],
    ids=["a single loss", "other weights"],
)
def test_a_checkpoint_of_other_heads_is_refused(other, tmp_path):
    net = make_heads("class and count")
    X, y = samples_of(net, 20)
    net.fit(X, y, epochs=2, callbacks=[fastbp.Checkpoint(tmp_path)])
    before = together(other)
    targets = y if other.loss_weights else np.zeros((20, 4))
    with pytest.raises(ValueError, match="loss"):
        other.fit(X, targets, epochs=4, resume_from=min(tmp_path.iterdir()))
    assert np.array_equal(together(other), before)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "squared_error"},
        {"loss": []},
        {"loss": [["cross_entropy", 3], ["poisson", 2]]},
        {"loss": [["cross_entropy", 3], ["poisson"]]},
        {"loss": [["cross_entropy", 3], ["poison", 1]]},
        {"loss": [["cross_entropy", 3], ["poisson", 1, 0.5]]},
        {"loss": [["cross_entropy", 3], ["poisson", "1"]]},
        {"loss": [["cross_entropy", -1], ["poisson", 5]]},
        {"loss": [["squared_error", 4]]},
        {"loss": [["quantile", 4, [0.5, 0.1, 0.2, 0.3]], ["poisson", 0]]},
        {"loss_weights": [1.0]},
        {"loss_weights": [1.0, 0.0]},
        {"loss_weights": [1.0, -1.0]},
        {"loss_weights": [1.0, "1"]},
        {"loss_weights": 1.0},
        {"loss_weights": None},
        {"loss_parameter": 1.0},
        {"output_activation": "tanh"},
    ],
    ids=str,
)
def test_changed_documents_are_refused(change, tmp_path):
    net, path = make_heads("class and count"), tmp_path / "net.safetensors"
    net.save(path)
    document, tensors = file.read(path)
    document["model"].update(json.loads(json.dumps(change)))
    arrays = {name: tensors._arrays[name] for name in tensors._arrays}
    file.write(path, document, arrays)
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        fastbp.Network.load(path, backend="numpy")
