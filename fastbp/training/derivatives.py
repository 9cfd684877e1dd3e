"""Training on derivatives: sources of samples whose steps have gradients of their own objective."""

import math

import numpy as np

from ..basis import checks, inputs
from ..basis.sparse import SparseRows
from ..engine import jets, sobolev
from .history import TrainingDiverged
from .sources import Rows

ALL_ROWS = slice(None)
DEFAULT_WEIGHT = 1.0  # of known derivatives


class RowsByGradient(Rows):
    """Samples in memory, with an objective that the kernels of a training do not know.

    A subclass has `objective`. Its steps are those of a training with the same gradients.
    """

    def objective(self, engine, rows, gradient, spare, stop):
        """The mean objective of a batch and the batch's weight; writes the mean's gradient.

        Parameters
        ----------
        engine : Engine
        rows : ndarray of int64 or slice
            The rows of the batch.
        gradient : ndarray of shape (layout.n_parameters,)
            Its padding is zero.
        spare : dict
            Workspaces by their sizes, kept from call to call.
        stop : int64 array of shape (1,)
            May end the call early once it is not zero. The mean is NaN then.

        Returns
        -------
        (float, float)
        """
        raise NotImplementedError

    def run(self, training, epochs, history, rates):
        """Train for some epochs."""
        orders = self._orders(training.engine.random, epochs)
        steps = rates.next(epochs * self.steps, len(history.loss), self.steps)
        rates = iter(np.broadcast_to(steps, epochs * self.steps).tolist())
        for epoch in range(epochs):
            loss = self._epoch(training, orders[epoch] if orders.size else None, rates, history)
            if loss is None:
                history.interrupted = True
                return
            history.loss.append(loss)

    def _epoch(self, training, order, rates, history):
        """Train for an epoch; return its loss, or None if the training is to end."""
        loss = total = penalties = 0.0
        for start in range(0, self.n, self.batch_size):
            if training.stopped():
                return None
            rows = slice(start, min(start + self.batch_size, self.n))
            count = rows.stop - start
            if order is not None:
                rows = order[rows]
            elif count == self.n:
                rows = ALL_ROWS
            penalty = training.penalty() if training.regularizers.penalised else 0.0
            mean, weight = self.objective(
                training.engine, rows, training.gradient, training.spare, training.stop
            )
            if not math.isfinite(mean + penalty):
                if training.stopped():
                    return None
                what = f"the loss of a batch is {mean + penalty:g}"
                raise TrainingDiverged(len(history.loss) + 1, what, history)
            training.update(next(rates))
            loss, total = loss + weight * mean, total + weight
            penalties += count * penalty
        return (loss / total if total else 0.0) + penalties / self.n


class RowsWithDerivatives(RowsByGradient):
    """Samples of which the derivatives of the outputs by the inputs are known, too.

    The objective is Σ w (e + λ/2 Σ (∂h/∂x - dy)²) / Σ w, the inner sum over the known entries.

    Parameters
    ----------
    data, batch_size, shuffle, rows
        As for `Rows`.
    dy : real array of shape (n, n_m, n_0)
        NaN where a derivative is unknown.
    derivative_weight : float
        λ.
    """

    def __init__(self, data, dy, derivative_weight, batch_size, shuffle, rows=None):
        super().__init__(data, batch_size, shuffle, rows)
        self.dy, self.derivative_weight = dy, derivative_weight
        # Only ratios of weights count, and their sums may be too large for float32. The mean is
        # that of the rows to train on, as if there were no others.
        weight = data.sample_weight
        if weight.size:
            own = weight if rows is None else weight[rows]
            with np.errstate(over="ignore"):  # of other rows
                weight = (weight / own.mean(dtype=np.float64)).astype(weight.dtype)
        self._scaled = data._replace(sample_weight=weight)
        self._some_weigh_nothing = not weight.all()
        self._kernel = None

    def arguments(self):
        found = super().arguments()
        found["data"].append(self.dy)
        return {**found, "derivative_weight": self.derivative_weight}

    def objective(self, engine, rows, gradient, spare, stop):
        order, total = self._order_and_weight(rows)
        if total == 0:
            gradient.fill(0)
            return 0.0, 0.0
        if sobolev.in_one_call(engine):
            if self._kernel is None:
                how = self.derivative_weight, self.batch_size
                self._kernel = sobolev.Sobolev(engine, self._scaled, self.dy, *how)
            mean = self._kernel(order, total, gradient, stop)
        else:
            mean = self._by_parts(engine, order, gradient, total, spare)
        if not math.isfinite(mean):
            engine.raise_error(self.data if not order.size else self.data.rows(order))
        return mean, total

    def _order_and_weight(self, rows):
        """The numbers of those rows that weigh something, and their weight.

        No numbers stand for all rows.
        """
        weight = self._scaled.sample_weight
        order = rows
        if rows is ALL_ROWS and not self._some_weigh_nothing:
            order = sobolev.ALL_IN_ORDER
        elif isinstance(rows, slice):
            order = np.arange(*rows.indices(len(self.dy)))
        if self._some_weigh_nothing:  # such rows add exactly 0, even if they overflow
            order = order[weight[order] > 0]
            return order, float(weight[order].sum(dtype=np.float64))
        if not weight.size:
            return order, float(len(order) or len(self.dy))
        return order, float((weight[order] if order.size else weight).sum(dtype=np.float64))

    def _by_parts(self, engine, order, gradient, total, spare):
        """The mean and its gradient, in several calls: the output activation is not identity."""
        data, dy = self._scaled, self.dy
        if order.size:
            data, dy = data.rows(order), dy[order]
        weight = data.sample_weight
        if not weight.size:
            weight = np.ones(len(data.X), data.X.dtype)
        shares = (weight / total).astype(weight.dtype, copy=False)
        how = self._through_slopes if _is_cheaper_by_slopes(engine) else self._through_jets
        with np.errstate(all="ignore"):
            mean, found = how(engine, data, dy, shares, spare)
        if found is not None:
            gradient[...] = found
        return mean

    def _through_jets(self, engine, data, dy, shares, spare):
        """The mean objective and its gradient, by derivatives in all directions of the input."""
        p = jets.JetPass(engine, data.X, 0, spare=spare)
        d = self._differences(p.h[1:].transpose(1, 2, 0), dy)
        by_h = np.zeros_like(p.h)
        by_h[1:] = (self.derivative_weight * shares)[:, None] * d.transpose(2, 0, 1)
        return self._mean_and_gradient(engine, data, p, d, shares, by_h)

    def _through_slopes(self, engine, data, dy, shares, spare):
        """The same by the Jacobian J, from a pass back, and one direction for each output.

        With G = ∂(objective)/∂J as a constant, the gradient is that of Σ G ∂h/∂x, and for each
        output k and row Σ_j G_kj ∂h_k/∂x_j is the derivative of h_k in the direction G_k.
        """
        d = self._differences(jets.input_jacobian(engine, data.X), dy)
        by_slopes = (self.derivative_weight * shares)[:, None, None] * d
        p = jets.JetPass(engine, data.X, 0, by_slopes.transpose(1, 0, 2), spare)
        by_h = np.zeros_like(p.h)
        outputs = np.arange(len(by_h) - 1)
        by_h[1 + outputs, :, outputs] = 1
        return self._mean_and_gradient(engine, data, p, d, shares, by_h)

    def _differences(self, found, dy):
        """∂h/∂x - dy, of shape (n, n_m, n_0); 0 where dy is unknown."""
        differences = found - dy
        differences[np.isnan(dy)] = 0
        return differences

    def _mean_and_gradient(self, engine, data, p, differences, shares, by_h):
        losses, deltas = jets.loss_deltas(engine, data, p.s[0])
        squares = np.einsum("rkj,rkj->r", differences, differences, dtype=np.float64)
        mean = float(shares @ (losses + self.derivative_weight / 2 * squares))
        if not math.isfinite(mean):
            return mean, None
        return mean, p.backward(shares[:, None] * deltas, by_h)


def _is_cheaper_by_slopes(engine):
    """Which way takes less work: in passes forward of a row, 3 (1 + n_0) or 4 (1 + n_m)."""
    sizes = engine.layout.sizes
    return 4 * (1 + sizes[-1]) < 3 * (1 + sizes[0])


def known(engine, dy, n):
    """Known derivatives, checked, as an array of shape (n, n_m, n_0); None if there are none."""
    if dy is None:
        return None
    inputs.refuse(engine.layout, "trainings on derivatives by the inputs")
    engine.check_one_loss("a training on derivatives by the inputs (dy)")
    engine.check_activations(2, "trainings on derivatives by the inputs")
    layout = engine.layout
    if engine.distribution is not None:
        raise ValueError(
            f"dy needs one target for each output, but the outputs of the loss {engine.loss!r} are "
            "parameters of a distribution; pass dy=None, or use squared_error"
        )
    n_inputs, n_outputs, dtype = layout.sizes[0], layout.sizes[-1], layout.dtype
    array = checks.real_numbers("dy", dy)
    if n_outputs == 1 and array.shape == (n, n_inputs):
        array = array[:, None]
    if array.shape != (n, n_outputs, n_inputs):
        flat = f" or ({n}, {n_inputs})" if n_outputs == 1 else ""
        raise ValueError(
            f"dy must have shape ({n}, {n_outputs}, {n_inputs}){flat}, the derivatives of each "
            f"sample's outputs by its inputs, got {array.shape}"
        )
    if np.isnan(array).all():
        raise ValueError("all of dy is NaN, so no derivative is known; pass dy=None")
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.array(array, dtype, order="C")
    wrong = np.isinf(found)
    if wrong.any():
        what = f"infinite values, or values too large for {dtype}"
        raise ValueError(f"dy has {what} ({checks.first_of(wrong, array)}); NaN means unknown")
    return found


def source(data, dy, derivative_weight, batch_size, shuffle, rows=None):
    """The source of a training in memory; `dy` is None, or as `known` returns it."""
    if dy is not None:
        if isinstance(data.X, SparseRows):
            raise TypeError("X is a sparse matrix; pass X.toarray()")
        weight = checks.real_number("derivative_weight", derivative_weight)
        return RowsWithDerivatives(data, dy, weight, batch_size, shuffle, rows)
    if checks.number("derivative_weight", derivative_weight) != DEFAULT_WEIGHT:
        raise ValueError("derivative_weight is that of the known derivatives; pass dy, too")
    return Rows(data, batch_size, shuffle, rows)
