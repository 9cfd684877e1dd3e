"""
Training on more data than fits into memory
===========================================

Files are read in shuffled blocks, as .npy arrays and as Parquet row groups.

No more than a block is in memory at a time. The same streams feed an estimator's
``partial_fit``.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot

import fastbp

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
rng = np.random.default_rng(0)
X = rng.standard_normal((100_000, 8), np.float32)
y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
np.save(folder / "X.npy", X)
np.save(folder / "y.npy", y)
X_test = rng.standard_normal((2000, 8), np.float32)
y_test = np.sin(X_test[:, 0]) + X_test[:, 1] * X_test[:, 2]

stream = fastbp.ArrayStream(folder / "X.npy", folder / "y.npy", rows=10_000, seed=0)
net = fastbp.Network([8, 32, 1], loss="squared_error", seed=0)
history = net.fit_batches(
    stream,
    epochs=5,
    batch_size=64,
    optimizer=fastbp.Adam(0.01),
    schedule=fastbp.CosineDecay(),
    steps_per_epoch=10 * -(-10_000 // 64),  # ten blocks
    validation_data=(X_test, y_test),
)
print(f"{len(stream)} blocks of .npy files; loss of unseen data by epoch:")
print(" ", *(f"{loss:.4f}" for loss in history.validation_loss))

figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
ax.plot(y_test, net.predict(X_test).ravel(), ".", markersize=3)
ax.plot([-6, 6], [-6, 6], "k", linewidth=0.5)
ax.set(
    xlabel="true value",
    ylabel="prediction",
    title=f"Unseen rows after {len(history.loss)} passes through the file",
)
pyplot.show()

estimator = fastbp.MLPRegressor(hidden_layer_sizes=(32,), learning_rate_init=0.01, random_state=0)
for X_block, y_block in stream:
    estimator.partial_fit(X_block, y_block)
print(f"the same for an estimator, one pass: R² {estimator.score(X_test, y_test):.3f}")

try:
    import pyarrow
    from pyarrow import parquet
except ImportError:
    print("Parquet files need pyarrow")
else:
    table = pyarrow.table({f"x{j}": X[:, j] for j in range(8)} | {"y": y})
    parquet.write_table(table, folder / "data.parquet", row_group_size=10_000)
    stream = fastbp.ParquetStream(folder / "data.parquet", target="y", seed=0)
    net = fastbp.Network([8, 32, 1], loss="squared_error", seed=0)
    net.fit_batches(stream, epochs=5, batch_size=64, optimizer=fastbp.Adam(0.01))
    loss = net.loss_and_gradient(X_test, y_test)[0]
    print(f"{len(stream)} row groups of a Parquet file: {loss:.4f}")
