"""The estimators' optimisers: scikit-learn's classes, with arrays that the kernels update.

An estimator keeps its optimiser in `_optimizer` between calls. The attributes have scikit-learn's
names and meaning. Programs may set them; new values take effect in the next epoch.
"""

from typing import Any

import numpy as np
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from ..basis import spec
from ..rules.optimizers import SGD, Adam
from ..training.run import Memory


class Stepping:
    """Base class of both optimisers.

    A subclass defines the kernel's code (`code`), its numbers (`hyper`), and how to update the
    attributes after steps (`note`). `arrays` names the attributes that are lists of one array for
    each of coefs_ and intercepts_; `slots` is their number.
    """

    arrays: tuple = ()
    lazy = False
    code: Any
    optimizer: Any
    hyper: Any

    def begin(self, layout):
        """Allocate the optimiser's state that the kernels update."""
        self.layout = layout
        self.memory = Memory.empty(self, layout)
        self._counted = self._counts()
        self._show()

    def _show(self):
        """Set the lists of arrays to views of the memory."""
        self._views = []
        for name, state in zip(self.arrays, self.memory.state, strict=True):
            views = self.layout.views(state).all
            self._views.append(views)
            setattr(self, name, list(views))

    @property
    def slots(self):
        return len(self.arrays)

    def initial_state(self, slot):
        return 0.0

    @property
    def made_for(self):
        return self.layout.sizes, self.layout.dtype

    def check(self, layout):
        """Raise ValueError if the memory was allocated for other layer sizes or dtype."""
        if self.made_for != (layout.sizes, layout.dtype):
            raise ValueError(
                "coefs_ have changed in shape or dtype since the optimiser was created; call fit, "
                "which starts from scratch"
            )

    def load(self):
        """Copy the attributes into the kernels' memory; the user may have set them."""
        self.memory.hyper[...] = self.hyper()
        if self._counts() != self._counted:
            t, *decays = self._counted = self._counts()
            self.memory.counters[...] = [t, *(decay**t for decay in decays)]
        for name, own in zip(self.arrays, self._views, strict=True):
            given = getattr(self, name)
            if [np.shape(array) for array in given] != [view.shape for view in own]:
                raise ValueError(
                    f"_optimizer.{name} must be arrays of the shapes of coefs_ and intercepts_, "
                    f"{[view.shape for view in own]}, got {[np.shape(array) for array in given]}"
                )
            for view, array in zip(own, given, strict=True):
                if view is not array:
                    view[...] = array
            setattr(self, name, list(own))

    def _counts(self):
        """Return t, β1 and β2; the kernels' counters are computed from them."""
        return 0, 1.0, 1.0

    def note(self):
        """Update the attributes from the kernels' memory after steps."""

    def __getstate__(self):
        self.load()
        return {key: value for key, value in vars(self).items() if key not in self._shown()}

    def __setstate__(self, state):
        vars(self).update(state)
        self._show()

    def _shown(self):
        return "_views", *self.arrays


class AdamStepping(Stepping, AdamOptimizer):
    """scikit-learn's Adam.

    Parameters
    ----------
    layout : Layout
    learning_rate_init, beta_1, beta_2, epsilon : float
    """

    arrays = ("ms", "vs")
    code = spec.ADAM

    def __init__(self, layout, learning_rate_init, beta_1, beta_2, epsilon):
        super().__init__([], learning_rate_init, beta_1, beta_2, epsilon)
        self.begin(layout)

    @property
    def optimizer(self):
        """The equivalent optimizer for `Network.fit`."""
        return Adam(
            self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon, epsilon_hat=True
        )

    def hyper(self):
        return self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon, 0.0, 1.0

    def _counts(self):
        return self.t, self.beta_1, self.beta_2

    def note(self):
        self.t = int(self.memory.counters[0])
        if self.t > 0:
            corrections = np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
            self.learning_rate = self.learning_rate_init * corrections
        self._counted = self._counts()


class SGDStepping(Stepping, SGDOptimizer):
    """scikit-learn's SGD, with its rules for the learning rate.

    Parameters
    ----------
    layout : Layout
    learning_rate_init : float
    lr_schedule : {"constant", "invscaling", "adaptive"}
    momentum : float
    nesterov : bool
    power_t : float
        The exponent of "invscaling".
    """

    arrays = ("velocities",)

    def __init__(self, layout, learning_rate_init, lr_schedule, momentum, nesterov, power_t):
        super().__init__([], learning_rate_init, lr_schedule, momentum, nesterov, power_t)
        self.begin(layout)

    @property
    def code(self):
        return spec.NESTEROV if self.nesterov else spec.MOMENTUM

    @property
    def optimizer(self):
        """The equivalent optimizer for `Network.fit`, which requires a momentum below 1."""
        momentum = min(self.momentum, np.nextafter(1, 0))
        nesterov = bool(self.nesterov and momentum > 0)
        return SGD(self.learning_rate_init, momentum=float(momentum), nesterov=nesterov)

    def hyper(self):
        return self.learning_rate, self.momentum, 0.0, 0.0, 0.0, 0.0

    def note(self):
        self.learning_rate, self.momentum = self.memory.hyper[:2].tolist()
