"""scikit-learn's own callbacks (`sklearn.callback`, from 1.9 on) in the estimators' fit.

A fit is a task and each of its epochs a task in it, of whose beginning and end they hear.
"""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an older scikit-learn

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for the mixin; there are no callbacks to set."""

    def with_callbacks(method):
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks:
    """What a fit tells the callbacks; nothing if there are none.

    Parameters
    ----------
    estimator : MultilayerPerceptron
    X, y : array-like
        As passed to fit.
    sample_weight : array-like or None
    epochs : int
        The most that there will be.
    """

    def __init__(self, estimator, X, y, sample_weight, epochs):
        self._root = None
        if hasattr(estimator, "_skl_callbacks"):
            self._estimator = estimator
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            self._data = {"X": X, "y": y, "metadata": metadata}
            self._root = estimator._init_callback_context(max_subtasks=epochs)
            self._begin(self._root)

    def begin_epoch(self):
        if self._root is not None:
            self._epoch = self._begin(self._root.subcontext(task_name="epoch"))

    def end_epoch(self):
        """Returns whether a callback ends the training."""
        return self._root is not None and self._end(self._epoch)

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
        """The attributes with which an estimator predicts as this one does now."""
        attributes = vars(self._estimator).items()
        fitted = {name: value for name, value in attributes if name.endswith("_")}
        for name in ("coefs_", "intercepts_"):
            fitted[name] = [array.copy() for array in fitted[name]]
        return fitted
