"""
Saving a model, and a training
==============================

A pipeline with its scaler in one file, without pickle, and a training that is killed and resumed.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
folder = Path(tempfile.mkdtemp())

# %%
# The file contains imputer, scaler and classifier. The predictions are the same to the last bit.

classifier = fastbp.MLPClassifier(random_state=0, max_iter=300, tol=1e-3)
pipeline = make_pipeline(SimpleImputer(), StandardScaler(), classifier)
pipeline.fit(X_train, y_train)
fastbp.save(pipeline, folder / "pipeline.safetensors")

loaded = fastbp.load(folder / "pipeline.safetensors")
print(f"accuracy of the loaded pipeline: {loaded.score(X_test, y_test):.3f}")
same = np.array_equal(loaded.predict_proba(X_test), pipeline.predict_proba(X_test))
print(f"the same probabilities: {same}")


# %%
# A training that can be stopped at any moment. The script is the same for the first start and for
# all later ones: it resumes from the newest checkpoint, if there is one.


class PowerCut(fastbp.Callback):
    """Ends the first process in its 12th epoch."""

    def epoch(self, network, history):
        if len(history.loss) == 12:
            raise RuntimeError("the power fails")


scaler = StandardScaler().fit(X_train)


def train(name, *callbacks):
    """Train as a script would in a new process."""
    checkpoint = fastbp.Checkpoint(folder / name, every_epochs=5)
    net = fastbp.Network([30, 16, 1], loss="log_loss", seed=0)
    history = net.fit(
        scaler.transform(X_train),
        y_train,
        epochs=30,
        schedule=fastbp.CosineDecay(),
        average=fastbp.EMA(0.99),
        dropout=0.2,
        callbacks=[*callbacks, checkpoint],
        resume_from=checkpoint.newest(),
    )
    print(f"{name}: trained up to epoch {len(history.loss)}")
    return net, history


with contextlib.suppress(RuntimeError):
    train("interrupted", PowerCut())
print("files:", sorted(path.name for path in (folder / "interrupted").iterdir()))
resumed, second = train("interrupted")
whole, history = train("at once")
same = np.array_equal(*(net.predict(scaler.transform(X_test)) for net in (resumed, whole)))
print(f"the same bits as without the interruption: {same}")

epochs = range(1, 31)
figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
ax.plot(epochs, history.loss, color="C1", linewidth=6, alpha=0.5, label="at once")
ax.plot(epochs[:10], second.loss[:10], "k-", label="from the checkpoint after epoch 10")
ax.plot(epochs[9:], second.loss[9:], "k--", label="resumed")
ax.axvline(12, color="C3", linestyle=":", label="the power fails")
ax.set(xlabel="epoch", ylabel="training loss", title="An interrupted training and a whole one")
ax.legend()
pyplot.show()
