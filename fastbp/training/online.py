"""Single steps, such as those of `Network.fit_step`: what is kept from one call to the next."""

import numpy as np

from ..basis import checks
from ..basis.data import Data
from ..engine.parameters import store
from ..rules.optimizers import optimizer_of
from ..rules.regularizers import regularizers_of
from .run import Training, check_lazy


class Online(Training):
    """A training whose steps come in calls of their own, each of them with its own rules.

    Attributes
    ----------
    plain : bool
        Whether the last step had neither penalties nor clipping nor frozen layers.
    """

    plain = False

    def follow(self, regularizers):
        """Let other penalties, clipping and frozen layers count from now on; the state stays."""
        old, self.regularizers = self.regularizers, regularizers
        same_rules = old.layer_rules.tobytes() == regularizers.layer_rules.tobytes()
        if not (same_rules and old.clip_norm == regularizers.clip_norm):
            self.drop_job()

    def load(self, gradient):
        """Copy a gradient to where `apply` takes it from; an error affects nothing else."""
        engine = self.engine
        store(gradient, "gradient", engine.layout, self.gradient, engine.backend.finite)

    def apply(self):
        """Take one step with the gradient that has been loaded."""
        if self._job is None:
            data = self.data or self._one_row()
            self.take(data, len(data.X))
        self.update()
        self.check_weights()

    def _one_row(self):
        """Samples for a job that reads none."""
        layout = self.engine.layout
        X, targets = (np.zeros((1, n), layout.dtype) for n in (layout.n_features, layout.n_targets))
        return Data(X, checks.NO_LABELS, targets, np.empty(0, layout.dtype))


def continued(online, engine, optimizer, data=None, *, clip_norm, l1, l2, frozen):
    """The `Online` that takes the next step: the last one, or a new one for another optimiser.

    Parameters
    ----------
    online : Online or None
        That of the last step. Errors leave it as it is.
    engine : Engine
    data : Data, optional
        The samples of the step, if it takes any.
    optimizer, clip_norm, l1, l2, frozen
        As for `Network.fit_step`.
    """
    # The usual case, in a fraction of the time that the checks take.
    no_penalties = type(l1) is type(l2) is float and l1 == l2 == 0
    plain = clip_norm is None and no_penalties and type(frozen) is tuple and not frozen
    if isinstance(optimizer, str):
        optimizer = optimizer_of(optimizer)
    new = online is None or (optimizer is not None and optimizer != online.optimizer)
    if plain and not new and online.plain:
        return online
    rules = {"clip_norm": clip_norm, "l1": l1, "l2": l2, "frozen": frozen}
    regularizers = regularizers_of(len(engine.layout.sizes) - 1, **rules)
    optimizer = optimizer_of(optimizer) if new else online.optimizer
    check_lazy(optimizer, regularizers, engine.layout, data)
    if new:
        online = Online(engine, None, optimizer, 0, regularizers, 1)
    else:
        online.follow(regularizers)
    online.plain = plain
    return online
