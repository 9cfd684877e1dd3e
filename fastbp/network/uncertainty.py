"""How uncertain predictions are: standard deviations, quantiles, and calibrated intervals."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from ..basis.names import keywords
from ..engine import conformal
from ..engine.conformal import Calibration
from ..engine.forecasts import Points, forecast

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats, Matrix
    from ..engine.engine import Engine


class UncertaintyMixin:
    """Uncertainty of predictions, as networks, regressors and ensembles have it in common."""

    _calibration: Calibration | None = None

    def _forecast(self, X: Any) -> Points:
        """Return the forecast for samples X, which are checked here."""
        raise NotImplementedError

    def _known(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return checked samples, and one row of their values for each."""
        raise NotImplementedError

    def _fingerprint(self) -> bytes:
        """Return bytes that differ after every change of what the model predicts."""
        raise NotImplementedError

    @keywords
    def predict_std(self, X: Matrix) -> Floats:
        """Compute the standard deviation of the predicted distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        std : ndarray
            In the shape that `predict` returns.

        Raises
        ------
        ValueError
            If the loss is no distribution, so that nothing is known about the spread.

        See Also
        --------
        predict_interval : Intervals that hold a given share of new values, for every loss.

        Notes
        -----
        An ensemble predicts the mixture of its members' distributions. Its variance is the mean of
        their variances plus the variance of their means. Members whose loss is no distribution
        predict single values with a variance of 0. What is left is how far they disagree: it grows
        where training samples were few, and says nothing about the noise of y.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPEnsembleRegressor, MLPRegressor
        >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
        >>> member = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000)
        >>> ensemble = MLPEnsembleRegressor(member, 3, random_state=0).fit(X, X.ravel() ** 2)
        >>> inside, outside = ensemble.predict_std([[0.5], [5.0]])
        >>> bool(inside < outside)  # the members disagree where there are no data
        True
        """
        return self._shaped(self._forecast(X).std())

    def _shaped(self, values):
        """Return values of shape (n_samples, n_outputs) in the shape that `predict` returns."""
        return values.ravel() if values.shape[1] == 1 else values

    @keywords
    def predict_quantiles(self, X: Matrix, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> Floats:
        """Compute quantiles of the predicted distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.
        quantiles : array-like of float, default=(0.05, 0.5, 0.95)
            The quantiles to compute, in [0, 1].

        Returns
        -------
        values : ndarray of shape (n_samples, n_quantiles) or (n_samples, n_quantiles, n_outputs)

        Raises
        ------
        ValueError
            If the loss is no distribution, so that nothing is known about the spread, or a quantile
            lies outside of the list with which the network was trained.

        Notes
        -----
        With a list of quantiles as ``loss_parameter``, values between two of them are interpolated
        linearly. An ensemble returns quantiles of the mixture of its members' distributions, at
        which the mean of their distribution functions has the given values. Of lists of quantiles
        it returns the members' mean, of single values the empirical quantiles of the members.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPEnsembleRegressor, MLPRegressor
        >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
        >>> member = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000)
        >>> ensemble = MLPEnsembleRegressor(member, 3, random_state=0).fit(X, X.ravel() ** 2)
        >>> ensemble.predict_quantiles([[0.5], [5.0]], [0.1, 0.5, 0.9]).shape
        (2, 3)
        """
        q = conformal.check_quantiles(quantiles)
        return _without_axis(self._forecast(X).quantiles(q))

    @keywords
    def calibrate(self, X: Matrix, y: ArrayLike) -> Self:
        r"""Measure errors on held-out samples, from which `predict_interval` takes its width.

        This is split conformal prediction. Whatever the data and the model, an interval for a new
        sample holds its value with at least the probability asked for, as long as the new sample
        and those given here come from the same source in any order (they are exchangeable).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples that had no part in training, nor in early stopping or the choice of settings:
            on those, errors are too small, and so would be the intervals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their values.

        Returns
        -------
        self : object
            The calibrated model. The calibration is copied, pickled and saved with it, and no
            longer counts once the model is trained further or fitted again.

        Raises
        ------
        ValueError
            If the model predicts classes, for bad samples or values, or if a value's distance from
            what was predicted for it is no finite number.

        Notes
        -----
        Each sample gets a score, which says how far y lies from what was predicted:

        - \|y - h\|, for a loss without a distribution;
        - \|y - μ\| / σ, for a loss that is a distribution with the mean μ and the standard
          deviation σ, so that intervals are wide where σ is large;
        - max(l - y, y - u), for a list of quantiles with the lower one l and the upper one u.

        With the scores sorted, e_1 ≤ ... ≤ e_n, a new sample's score is at most e_k with a
        probability of at least k / (n + 1). The interval for a coverage c has all values whose
        scores are at most e_k, with k = ⌈(n + 1) c⌉. Its coverage is between c and c + 1 / (n + 1)
        if no two scores are equal. These are means over calibrations and new samples: after one
        calibration with n samples, the share that is covered varies by about √(c (1 - c) / n).

        References
        ----------
        Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", Springer, 2005. Lei
        et al., "Distribution-Free Predictive Inference for Regression", Journal of the American
        Statistical Association 113, 2018. Romano, Patterson and Candès, "Conformalized Quantile
        Regression", NeurIPS 2019.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(-1, 1, (700, 1))
        >>> y = X[:, 0] ** 2 + 0.1 * rng.standard_normal(700)
        >>> model = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
        >>> model = model.fit(X[:300], y[:300]).calibrate(X[300:500], y[300:500])
        >>> low, high = model.predict_interval(X[500:], coverage=0.8).T
        >>> float(np.mean((low <= y[500:]) & (y[500:] <= high)).round(1))  # of 200 new values
        0.8
        """
        X, y = self._known(X, y)
        forecast = self._forecast(X)
        y = np.asarray(y, np.float64).reshape(len(forecast.center), -1)
        n_outputs = forecast.center.shape[1]
        if y.shape[1] != n_outputs:
            raise ValueError(f"y has {y.shape[1]} outputs, but the model predicts {n_outputs}")
        with np.errstate(over="ignore", invalid="ignore"):
            scores = forecast.scores(y)
        _check_scores(scores, y, forecast.center)
        self._calibration = Calibration(scores, self._fingerprint())
        return self

    @keywords
    def predict_interval(self, X: Matrix, coverage: float = 0.9) -> Floats:
        """Compute intervals that hold a given share of new values, after `calibrate`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.
        coverage : float, default=0.9
            The share of new values that the intervals shall hold, in (0, 1).

        Returns
        -------
        intervals : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            The lower and the upper bound. With several outputs, each output's intervals have that
            coverage.

        Raises
        ------
        ValueError
            If the model is not calibrated, or was trained since, or if it was calibrated with too
            few samples: a coverage c needs at least c / (1 - c) of them. (MAPIE, too, raises an
            error, unless it is told to return infinite bounds.)

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(-1, 1, (700, 1))
        >>> y = X[:, 0] ** 2 + 0.1 * rng.standard_normal(700)
        >>> model = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
        >>> model = model.fit(X[:300], y[:300]).calibrate(X[300:500], y[300:500])
        >>> low, high = model.predict_interval(X[500:], coverage=0.8).T
        >>> float(np.mean((low <= y[500:]) & (y[500:] <= high)).round(1))  # of 200 new values
        0.8
        """
        coverage = conformal.check_coverage(coverage)
        calibration = self._current_calibration()
        if calibration is None:
            self._forecast(X)  # raises an error if the model is not fitted, or predicts classes
            raise ValueError(
                "the model was trained or changed after calibrate, so its intervals are out of "
                "date; call calibrate again"
                if self._calibration is not None
                else "predict_interval needs calibrate(X, y) first, with samples that had no part "
                "in training"
            )
        scores = calibration.score_for(coverage)
        low, high = self._forecast(X).interval(scores, coverage)
        return _without_axis(np.stack([low, high], axis=1))

    def _current_calibration(self):
        """Return the calibration if it belongs to the model as it is now, else None."""
        calibration = self._calibration
        if calibration is None or calibration.fingerprint != self._fingerprint():
            return None
        return calibration


class Uncertain(UncertaintyMixin):
    """The part of `Network` that says how uncertain its predictions are."""

    _engine: Engine

    def _forecast(self, X):
        engine = self._engine
        self._check_numbers()
        samples = engine.samples(X)
        engine.check_finite()
        return forecast(engine, engine.outputs(samples))

    def _known(self, X, y):
        engine = self._engine
        self._check_numbers()
        X, n_targets = engine.samples(X), engine.layout.n_targets
        name, row = engine.loss_name, engine.loss_spec
        return X, checks.targets(y, len(X), n_targets, name, row, np.dtype(np.float64))[1]

    def _check_numbers(self):
        self._engine.check_one_loss("a standard deviation, quantile or interval")
        if self._engine.classifies:
            raise ValueError(
                "the network predicts probabilities of classes, which say themselves how sure it "
                "is (ReliabilityDisplay shows whether they can be trusted); standard deviations, "
                "quantiles and intervals are for losses of numbers, such as squared_error"
            )

    def _fingerprint(self):
        return fingerprint(self._engine, self._engine.output_activation)

    def _shaped(self, values):
        return values


def fingerprint(engine, out_activation):
    """Return bytes that differ after every change of an engine's parameters, loss or outputs."""
    digest = hashlib.blake2b(engine.parameters, digest_size=16)
    digest.update(repr((engine.loss_name, engine.loss_parameter, out_activation)).encode())
    return digest.digest()


def _check_scores(scores, y, center):
    """Refuse calibrations with scores that are infinite or NaN: intervals would have no bounds."""
    bad = ~np.isfinite(scores).all(axis=0)
    if bad.any():
        row = int(np.argmax(bad))
        near = ", ".join(f"{value:.4g}" for value in center[row])
        values = ", ".join(f"{value:.4g}" for value in y[row])
        raise ValueError(
            f"calibrate needs finite errors, but in row {row} y is {values} and the model predicts "
            f"{near}, whose distance is beyond the largest float; scale y down before training, or "
            "leave out such rows"
        )


def _without_axis(values):
    """Return values of shape (n, k, n_outputs) without the last axis if there is one output."""
    return values[:, :, 0] if values.shape[2] == 1 else values
