"""Weights of samples, and factors of them by classes, checked."""

import numpy as np

from . import checks


def checked(sample_weight, n_samples, dtype, name="sample_weight", part=False):
    """Return sample weights as an (n_samples,) array of `dtype`; for None an empty array.

    At least one must be positive, unless the samples are only `part` of the data.
    """
    if sample_weight is None:
        return np.empty(0, dtype)
    array = checks.real_numbers(name, sample_weight)
    if array.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), got {array.shape}")
    values = checks.cast(name, array, dtype)
    if values.min() < 0:
        raise ValueError(f"{name} must not be negative, but its smallest is {values.min():g}")
    if values.max() == 0 and not part:
        raise ValueError(f"{name} is zero for every sample; at least one must be positive")
    refuse_denormal(values, name)
    return values


def refuse_denormal(weights, name="sample_weight"):
    """Refuse sample weights with denormal numbers that add more than a rounding error to the sum.

    Training takes denormal numbers, those below the smallest normal one, for 0.
    """
    limits = np.finfo(weights.dtype)
    with np.errstate(over="ignore"):
        total = weights.sum(dtype=np.float64)
    if total * limits.eps < len(weights) * limits.tiny:  # else their share is too small
        lost = weights[weights < limits.tiny].sum(dtype=np.float64)
        if lost > total * limits.eps:
            raise ValueError(
                f"{name} has numbers below {limits.tiny:.2g}, the smallest normal number of "
                f"{weights.dtype}, which are {100 * lost / total:.3g} % of the sum; multiply all "
                "weights by the same large number, which changes no result"
            )


def of_classes(class_weight, loss_name, labels, targets, rows=None):
    """Return the factors of the sample weights for class_weight, as an (n_samples,) array.

    `labels` and `targets` must be checked. "balanced" makes the classes of `rows` (by default all
    rows) count the same. A dict may name any class of the network, even one without samples.
    """
    if loss_name not in ("cross_entropy", "log_loss"):
        raise ValueError(
            f"class_weight requires the loss cross_entropy or log_loss, got {loss_name}"
        )
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if not (balanced or isinstance(class_weight, dict)):
        raise TypeError(f'class_weight must be "balanced" or a dict, got {class_weight!r}')
    if not labels.size:
        if not np.isin(targets, (0, 1)).all():
            raise ValueError("class_weight requires labels, but y holds probabilities")
        if loss_name == "cross_entropy":
            labels = targets.argmax(axis=1)
        elif targets.shape[1] == 1:
            labels = targets.ravel().astype(np.int64)
        else:
            raise ValueError(
                "class_weight requires one class per sample, but y has several labels per sample; "
                "pass sample_weight instead"
            )
    if balanced:
        from sklearn.utils.class_weight import compute_sample_weight

        return compute_sample_weight("balanced", labels, indices=rows)
    factors = np.ones(len(labels))
    n_classes = max(targets.shape[1], 2)
    for key, factor in class_weight.items():
        if key not in range(n_classes):
            raise ValueError(
                f"class_weight has the key {key!r}, but the network's classes are "
                f"0..{n_classes - 1}"
            )
        factors[labels == key] = checks.real_number(f"class_weight[{key}]", factor)
    return factors
