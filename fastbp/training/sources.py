"""Where the samples of a training come from: memory, or blocks that arrive one after the other.

A source trains for some epochs when the loop asks it to. The estimators and distributed training
have sources of their own.
"""

import contextlib
import itertools
import math

import numpy as np

from ..basis import checks, interrupts
from ..basis.heads import names_of_losses
from .history import History, TrainingDiverged
from .run import NATURAL_ORDER

# At most this many rows of orders, or rates of steps, are made ahead for one call of the backend,
# unless a single epoch has more.
ORDERED_ROWS = 1 << 20


def parts(what, value):
    """(X, y, sample_weight or None) from what users pass as (X, y) or (X, y, sample_weight)."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise TypeError(f"{what} must be (X, y) or (X, y, sample_weight)")
    X, y, *rest = value
    return X, y, rest[0] if rest else None


def validation(engine, given):
    """Validation data as users pass it, checked; None if there are none."""
    if given is None:
        return None
    names = ("validation X", "validation y", "validation sample_weight")
    return engine.data(*parts("validation_data", given), names=names, may_be_sparse=True)


class Rows:
    """Samples in memory.

    Parameters
    ----------
    data : data.Data
    batch_size : int or None
    shuffle : bool
    rows : ndarray of int64, optional
        The numbers of the samples to train on; all by default.
    """

    must_stay_finite = True  # or the training ends with TrainingDiverged

    def __init__(self, data, batch_size, shuffle, rows=None):
        self.data, self.rows = data, rows
        self.n = len(data.X) if rows is None else len(rows)
        batch_size = self.n if batch_size is None else checks.whole_number("batch_size", batch_size)
        self.batch_size = min(batch_size, self.n)
        self.full_batch = self.batch_size == self.n
        # The order of a full batch does not matter.
        self.shuffle = checks.flag("shuffle", shuffle) and not self.full_batch
        self.ordered = self.shuffle or rows is not None
        self.steps = -(-self.n // self.batch_size)

    def epochs_a_call(self, scheduled):
        """For how many epochs orders and rates may be made ahead; None for any number."""
        most = [self.n] * self.ordered + [self.steps] * scheduled
        return max(1, ORDERED_ROWS // max(most)) if most else None

    def run(self, training, epochs, history, rates):
        """Train for some epochs."""
        order = self._orders(training.engine.random, epochs)
        steps = rates.next(epochs * self.steps, len(history.loss), self.steps)
        training.run(order, epochs, history, steps)

    def _orders(self, random, epochs):
        """The row numbers of some epochs, a line for each; empty for the natural order."""
        if not self.ordered:
            return NATURAL_ORDER
        orders = np.empty((epochs, self.n), np.int64)
        for line in orders:
            line[...] = np.arange(self.n) if self.rows is None else self.rows
            if self.shuffle:
                random.shuffle(line)
        return orders

    def arguments(self):
        """What a checkpoint compares, by the names that its message has for them."""
        parts = [*self.data.arrays(), *([] if self.rows is None else [self.rows])]
        return {"data": parts, "batch_size": self.batch_size, "shuffle": self.shuffle}


class Blocks:
    """Samples that come block by block, each a batch or gone through in batches.

    The other parameters are those of `Network.fit_batches`.

    Parameters
    ----------
    engine : Engine
    blocks : iterable
        Of (X, y) or (X, y, sample_weight).
    """

    data = None  # there is none before the first block
    full_batch = False
    must_stay_finite = True

    def __init__(self, engine, blocks, epochs, batch_size, steps, class_weight, label_smoothing):
        if isinstance(class_weight, str):
            raise ValueError(
                f"class_weight={class_weight!r} needs all labels at once; pass a dict of weights"
            )
        if checks.is_sparse(blocks):
            raise TypeError("batches must be an iterable of (X, y), got a sparse matrix")
        if batch_size is not None:
            batch_size = checks.whole_number("batch_size", batch_size)
        if steps is not None:
            steps = checks.whole_number("steps_per_epoch", steps)
        elif batch_size is None and hasattr(blocks, "__len__"):
            steps = len(blocks)
        self.engine, self.blocks = engine, blocks
        self.steps, self._size = steps, batch_size
        self._how = {"class_weight": class_weight, "label_smoothing": label_smoothing}
        # Whether a block had weights. An epoch's loss weights the losses of samples by them, but
        # penalties by rows. The backend returns the sum, so each step then is a call of its own,
        # before which the penalties are computed.
        self._weighted = False
        try:
            self._waiting = iter(blocks)
        except TypeError:
            raise TypeError(f"batches must be an iterable of (X, y), got {blocks!r}") from None
        if self._waiting is blocks and checks.whole_number("epochs", epochs) > 1:
            raise ValueError(
                "batches is an iterator, which can be gone through only once: pass epochs=1, or "
                "an iterable that starts anew, such as a list or a fastbp.ArrayStream"
            )

    def begin(self):
        """Read and check the first block; returns self."""
        self._first = list(itertools.islice(self._filled(self._waiting), 1))
        if not self._first:
            raise ValueError("batches is empty; at least one sample is needed")
        self.batch_size = self._size_for(self._first[0])
        return self

    def _filled(self, blocks):
        """The blocks that have rows, as data.Data."""
        return filter(None, map(self._read, blocks))

    def _read(self, block):
        X, y, weight = parts("a batch", block)
        with contextlib.suppress(TypeError):  # engine.data refuses blocks without a length
            rows = X.shape[0] if checks.is_sparse(X) else len(X)
            if not rows and not any(map(len, y if self.engine.heads else [y])):
                return None
        return self.engine.data(X, y, weight, **self._how, part=True, may_be_sparse=True)

    def epochs_a_call(self, scheduled):
        return 1

    def _size_for(self, block):
        return min(self._size or len(block.X), len(block.X))

    def _all(self):
        """The blocks of an epoch as data.Data."""
        if self._waiting is None:
            self._waiting = iter(self.blocks)
        waiting, self._waiting = self._waiting, None
        while self._first:  # no reference stays here while it is trained on
            yield self._first.pop()
        filled = self._filled(waiting)
        while True:
            with interrupts.released():
                block = next(filled, None)
            if block is None:
                return
            yield block

    def run(self, training, epochs, history, rates):
        """Train for an epoch."""
        total = penalties = 0.0
        rows, of_heads = 0, names_of_losses(self.engine.heads)
        sums = [0.0] * (1 + len(of_heads))
        for block in self._all():
            size, count = self._size_for(block), len(block.X)
            self._weighted = self._weighted or block.sample_weight.size > 0
            apart = self._weighted and training.regularizers.penalised
            for part in block.batches(size) if apart else [block]:
                penalty = training.penalty() if apart else 0.0
                means = self._train(training, part, size, history, rates)
                if means is None:
                    return
                penalties += len(part.X) * penalty
                weight = part.total_weight()
                means[0] = means[0] - penalty if math.isfinite(penalty) else 0.0
                sums = [of_all + weight * mean for of_all, mean in zip(sums, means, strict=True)]
                total += weight
            rows += count
        if not rows:
            raise ValueError("batches was empty when it was gone through again")
        if not total:
            raise ValueError(
                "sample_weight or class_weight is zero for every sample of batches; at least one "
                "must be positive"
            )
        history.loss.append(sums[0] / total + penalties / rows)
        for name, of_head in zip(of_heads, sums[1:], strict=True):
            history.head_losses[name].append(of_head / total)

    def _train(self, training, data, batch_size, history, rates):
        """Train on some samples; return their mean loss and those of heads, None after Ctrl-C."""
        training.take(data, batch_size)
        part = History()
        steps = -(-len(data.X) // batch_size)
        try:
            training.run(NATURAL_ORDER, 1, part, rates.next(steps, len(history.loss)))
        except TrainingDiverged as error:
            raise TrainingDiverged(len(history.loss) + 1, error._what, history) from None
        if part.interrupted:
            history.interrupted = True
            return None
        return [*part.loss, *(loss for (loss,) in part.head_losses.values())]
