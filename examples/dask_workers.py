"""
Training over Dask workers
==========================

One network is trained on partitions of data on the workers; gradients or weights are averaged.

Each worker generates its own partitions. For an existing cluster, pass its address to ``Client``.
"""

import dask.array as da
from distributed import Client

import fastbp
from fastbp import distributed

if __name__ == "__main__":  # the workers are new processes, which read this file, too
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        X = da.random.default_rng(0).normal(size=(200_000, 8), chunks=(50_000, 8))
        y = da.sin(X[:, 0]) + X[:, 1] * X[:, 2]
        for local_steps, batch_size in ((None, 10_000), (100, 64)):
            net = fastbp.Network([8, 32, 1], loss="squared_error", seed=0)
            history = distributed.fit(
                net,
                *(X, y),
                client=client,
                epochs=3,
                batch_size=batch_size,
                local_steps=local_steps,
                optimizer=fastbp.Adam(0.01),
            )
            kind = "weights, every 100 steps" if local_steps else "gradients"
            print(f"averages of {kind}; loss by epoch:", *(f"{e:.4f}" for e in history.loss))

# sphinx_gallery_thumbnail_path = "_static/dask_workers.svg"
