"""The history of a training, and the exception that says it has diverged."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..basis import late, names

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(repr=False)
class History:
    """The record of a call of `Network.fit`.

    ``history["loss"]`` is ``history.loss``, and ``history["r2"]`` the score of that name.

    Attributes
    ----------
    loss : list of float
        Training loss of each finished epoch: Σ w e / Σ w over all its samples, plus the mean of
        the penalties, for which every sample counts the same. Both are computed before the step
        of the sample's batch. In training on derivatives, e includes their term; `fit_residual`
        says what its objective is.
    validation_loss : list of float
        Mean loss on the validation data after each epoch, without penalty; empty if there
        were none.
    scores : dict of str to list of float
        Each scorer's scores on the validation data, one for each epoch.
    learning_rate : list of float
        The rate of each epoch's last step; empty if there was no schedule.
    best_epoch : int or None
        With early stopping the epoch, counted from 1, that was the best one.
    interrupted : bool
        Whether Ctrl-C ended the training early.
    head_losses : dict of str to list of float
        For networks with heads, the Σ w e_k / Σ w of each head in each epoch, without its weight in
        ``loss_weights`` and without penalties: "poisson_loss" is the training loss of a head with
        the loss "poisson", and "validation_poisson_loss" that on the validation data. Several heads
        with the same loss are told apart by their number in the network's ``loss``:
        "poisson_0_loss", "poisson_2_loss". Without validation data, the lists for them are empty.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> net = fastbp.Network([1, 8, 1], loss="squared_error", seed=0)
    >>> history = net.fit(X, X**2, epochs=30, optimizer=fastbp.Adam(0.01), scoring="r2",
    ...                   validation_data=(X, X**2))
    >>> len(history.loss), len(history["r2"]), list(history)
    (30, 30, ['loss', 'validation_loss', 'r2'])
    >>> history  # doctest: +ELLIPSIS
    History(30 epochs, loss 0.3027 -> 0.00..., validation_loss ..., r2 ...)
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    learning_rate: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    interrupted: bool = False
    head_losses: dict[str, list[float]] = field(default_factory=dict)

    # How many epochs had been trained without validation when a checkpoint was resumed with it.
    _unvalidated = 0

    def __getitem__(self, name: str) -> list[float]:
        """The recorded losses, scores or learning rates of that name, one for each epoch."""
        figures = self._figures()
        if name not in figures:
            known = ", ".join(figures)
            hint = names.of_figure(name, figures) if isinstance(name, str) else ""
            raise KeyError(f"the history has no {name!r}; it has {known}{hint}")
        return figures[name]

    def __iter__(self) -> Iterator[str]:
        """The names of what was recorded."""
        return iter(self._figures())

    def __repr__(self) -> str:
        n = len(self.loss)
        parts = [f"{n} epoch{'' if n == 1 else 's'}"]
        parts += [
            f"{name} {figures[0]:.4g} -> {figures[-1]:.4g}"
            for name, figures in self._figures().items()
            if figures
        ]
        if self.best_epoch is not None:
            parts.append(f"best_epoch={self.best_epoch}")
        if self.interrupted:
            parts.append("interrupted")
        return f"History({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """The first, the best and the last value of all that was recorded, as a table."""
        rows = []
        for name, figures in self._figures().items():
            cells = [html.escape(name)]
            if figures:
                lower = name in ("loss", "validation_loss", *self.head_losses)
                best = _best(figures, lower) if name != "learning_rate" else None
                at = (
                    "" if best is None else f"{figures[best]:.4g} (epoch {self._epoch(name, best)})"
                )
                cells += [f"{figures[0]:.4g}", at, f"{figures[-1]:.4g}"]
            else:
                cells += [""] * 3
            rows.append("".join(f"<td>{cell}</td>" for cell in cells))
        head = "".join(f"<th>{name}</th>" for name in ("", "first", "best", "last"))
        caption = repr(self).partition("(")[2].partition(",")[0].removesuffix(")")
        caption += "" if self.best_epoch is None else f", weights of epoch {self.best_epoch}"
        caption += ", interrupted" if self.interrupted else ""
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"

    def _figures(self):
        """What was recorded, by name."""
        figures = {"loss": self.loss}
        if self.validation_loss:
            figures["validation_loss"] = self.validation_loss
        figures |= {name: values for name, values in self.head_losses.items() if values}
        figures |= {name: values for name, values in self.scores.items() if name not in figures}
        if self.learning_rate and "learning_rate" not in figures:
            figures["learning_rate"] = self.learning_rate
        return figures

    def _epoch(self, name, i):
        """The epoch, counted from 1, of the entry i of what was recorded by that name."""
        validated = name.startswith("validation_") or name in self.scores
        return i + 1 + (self._unvalidated if validated else 0)

    def plot(self, *, name: str | None = None, ax: Any = None) -> Any:
        """Draw losses and scores by epoch. Needs matplotlib.

        Parameters
        ----------
        name : str, optional
            Name of the training for the legend, to compare trainings on the same axes.
        ax : matplotlib.axes.Axes, optional
            Axes to draw on, also beside another history; by default those of a new figure.

        Returns
        -------
        LearningCurveDisplay
            ``ax_`` and ``figure_`` are its axes and figure.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
        >>> history = net.fit([[0.0], [1.0]], [0.0, 3.0], epochs=5)
        >>> history.plot().ax_.get_xlabel()
        'epoch'
        """
        return late.load("plots").LearningCurveDisplay.from_history(self, name=name, ax=ax)

    def to_pandas(self) -> Any:
        """Return what was recorded as a table with a row for each epoch. Needs pandas.

        Returns
        -------
        pandas.DataFrame
            The index "epoch" counts from 1. The columns are "loss", "validation_loss", the scores
            and "learning_rate", as far as they were recorded. Epochs without a value, such as one
            in which the training diverged, have NaN.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
        >>> history = net.fit([[0.0], [1.0]], [0.0, 3.0], epochs=3, schedule="cosine")
        >>> history.to_pandas().round(6)["learning_rate"].tolist()
        [0.001, 0.00075, 0.00025]
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("History.to_pandas needs pandas: pip install pandas") from None
        columns = {}
        for name, figures in self._figures().items():
            epochs = [self._epoch(name, i) for i in range(len(figures))]
            columns[name] = pandas.Series(figures, index=epochs, dtype=float)
        index = pandas.RangeIndex(1, len(self.loss) + 1, name="epoch")
        return pandas.DataFrame(columns, index=index)


def _best(figures, lower):
    """The index of the lowest or of the highest figure; None if none is finite."""
    finite = [i for i, figure in enumerate(figures) if math.isfinite(figure)]
    choose = min if lower else max
    return choose(finite, key=figures.__getitem__) if finite else None


class TrainingDiverged(ArithmeticError):
    """The loss or the weights became infinite or NaN.

    Attributes
    ----------
    history : History
        The finished epochs; the last of them is `epoch` if only its last step went wrong.
    epoch : int
        The epoch in which it happened, counted from 1.
    """

    def __init__(self, epoch: int, what: str, history: History) -> None:
        super().__init__(
            f"training diverged in epoch {epoch}: {what}. The network keeps the weights it had "
            "then. Try a smaller learning_rate, or scale X (and y) to about unit variance"
        )
        self.epoch = epoch
        self.history = history
        self._what = what

    def __reduce__(self):  # BaseException would pass the message alone
        return type(self), (self.epoch, self._what, self.history), vars(self)
