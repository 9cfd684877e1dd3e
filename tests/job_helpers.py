"""A job of a backend, and the parts of its steps on their own."""

import numpy as np

from fastbp.backends.interface import SHARED_SIZE
from fastbp.rules.regularizers import regularizers_of

NATURAL = np.empty((0, 0), np.int64)
STEPS = 3
RATES = np.array([0.01, 0.03, 0.02])


class Parts:
    """A network, a batch, and a job to train the one on the other."""

    def __init__(self, net, X, y, optimizer, regularizers=None, threads=1, block=None):
        regularizers = regularizers or regularizers_of(len(net.weights))
        self.net, self.data = net, net._engine.data(X, y)
        self.backend = net._engine.backend
        self.model, layout, n = net._engine.model, net.layout, len(X)
        parameters, clipping = layout.n_parameters, regularizers.clip_norm is not None
        self.counters = np.tile([0.0, 1.0, 1.0], (threads, 1))
        self.state = np.zeros((optimizer.slots, parameters), layout.dtype)
        for slot, array in enumerate(self.state):
            array[...] = optimizer.initial_state(slot)
        self.average = np.zeros(parameters if regularizers.average else 0, layout.dtype)
        self.gradient = layout.zeros(parameters)
        self.hyper = np.array(optimizer.hyper())
        self.hyper[0] = np.nan  # the rates are passed
        self.job = self.backend.job(
            self.model,
            self.data,
            batch_size=n,
            optimizer=optimizer.code,
            hyper=self.hyper,
            layer_rules=regularizers.layer_rules,
            sklearn_penalties=regularizers.sklearn_penalties,
            clip_norm=regularizers.clip_norm or 0.0,
            squares=np.zeros(sum(layout.sizes[:-1]) + len(layout.sizes) - 1 if clipping else 0),
            decay=regularizers.average.decay if regularizers.average else 0.0,
            average=self.average,
            signs=net._engine.signs,
            seed=0,
            counters=self.counters,
            state=self.state,
            block=block or n,
            workspace=layout.zeros(layout.workspace_size(block or n)),
            transposed=layout.zeros(layout.n_transposed),
            gradient=self.gradient,
            sums=np.empty((int(bool(block) and block < n), layout.line)),
            stop=np.zeros(1, np.int64),
            shared=np.zeros(SHARED_SIZE, np.int64),
        )
        self.workspace = layout.zeros(layout.workspace_size(n))
        self.transposed = layout.zeros(layout.n_all_transposed)
        self.nothing = np.empty((0, layout.sizes[0]), layout.dtype)

    def run(self, rates=RATES):
        losses = np.zeros(STEPS)
        assert self.job.run(NATURAL, STEPS, rates, losses, 0) == STEPS
        return losses

    def forward(self):
        out = np.empty((len(self.data.X), self.net.layout.sizes[-1]), self.net.layout.dtype)
        self.backend.forward(self.model, self.data.X, self.workspace, out)
        return out

    def backward(self, deltas, gradient=None, errors=None):
        self.backend.backward(
            self.model,
            self.data.X,
            deltas,
            self.workspace,
            self.transposed,
            self.gradient if gradient is None else gradient,
            self.nothing if errors is None else errors,
        )

    def step_by_parts(self, deltas_of, rate):
        self.backward(deltas_of(self.forward()) / self.net.layout.dtype.type(len(self.data.X)))
        self.job.update(rate, float(len(self.data.X)))

    def bits(self):
        return [
            array.tobytes()
            for array in (self.net._engine.parameters, self.state, self.counters[0], self.average)
        ]
