"""Support for scikit-learn's callbacks (`sklearn.callback`, since 1.9) in the estimators' fit.

Callbacks are told when a fit begins and ends, and when each of its epochs does.
"""

from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an older scikit-learn

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Placeholder: without scikit-learn 1.9 there are no callbacks to set."""

    def with_callbacks(method):
        """Return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks:
    """Reports a fit and its epochs to scikit-learn's callbacks, if the estimator has any.

    Parameters
    ----------
    estimator : MultilayerPerceptron
    X, y : array-like
        As passed to fit.
    sample_weight : array-like or None
    epochs : int
        The maximum number of epochs.
    """

    def __init__(self, estimator, X, y, sample_weight, epochs):
        self._root: Any = None
        if hasattr(estimator, "_skl_callbacks"):
            self._estimator = estimator
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            self._data = {"X": X, "y": y, "metadata": metadata}
            self._root = estimator._init_callback_context(max_subtasks=epochs)
            self._begin(self._root)

    @property
    def active(self):
        """Whether there are callbacks; else no epoch needs to be reported."""
        return self._root is not None

    def begin_epoch(self):
        self._epoch = self._begin(self._root.subcontext(task_name="epoch"))

    def end_epoch(self):
        """Return whether a callback asks to stop the training."""
        return self._end(self._epoch)

    def end(self):
        if self._root is not None:
            self._end(self._root)

    def _begin(self, task):
        return task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def _end(self, task):
        return task.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted
        )

    def _fitted(self):
        """Return the fitted attributes; callbacks build an estimator that predicts from them."""
        attributes = vars(self._estimator).items()
        fitted = {name: value for name, value in attributes if name.endswith("_")}
        for name in ("coefs_", "intercepts_"):
            fitted[name] = [array.copy() for array in fitted[name]]
        self._estimator._in_units_of_y(fitted["coefs_"], fitted["intercepts_"])
        if self._estimator._extras:
            fitted["_extras"] = [array.copy() for array in self._estimator._extras]
        return fitted
