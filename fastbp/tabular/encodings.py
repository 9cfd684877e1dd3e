"""Categories of many values as means of the targets, which differ from fold to fold."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

# Categories of more values than this are encoded.
MANY = 30
PARTS = 5  # of a fold's training rows, each of which is encoded by the others


@dataclasses.dataclass
class TargetEncodings:
    """Means of the targets for each value of some categories, as inputs of networks.

    The mean of a value's rows is shrunk towards that of all rows (Micci-Barreca, "A Preprocessing
    Scheme for High-Cardinality Categorical Attributes", SIGKDD Explorations 2001, with the
    shrinkage of scikit-learn's TargetEncoder), scaled, and clipped smoothly as numbers are. A
    fold's network gets means over the rows that it is trained on, so nothing is known of the rows
    that are held out from it.

    Attributes
    ----------
    columns : list of int
        Which of the categories.
    tables : list of float32 array of shape (n_folds, n_values + 2, n_targets)
        For each of these columns the inputs for a code, in each fold. The last two rows are those
        of the codes UNKNOWN and MISSING, -2 and -1, as Python counts from the end.
    """

    columns: list
    tables: list

    @classmethod
    def fitted(cls, categories, codes, targets, folds, seed, clip):
        """The encodings for the rows of a table, and the rows' inputs in each fold.

        Parameters
        ----------
        categories : list of int
            For each category how many values it has.
        codes : int array of shape (n, n_categories)
        targets : float array of shape (n, n_targets)
        folds : list of (training rows, held-out rows)
        seed : int
        clip : float
            As of `Preparation`.

        Returns
        -------
        encodings : TargetEncodings or None
            None if no category has many values.
        inputs : list of float32 array of shape (n, n_inputs)
            For each fold. Training rows are encoded by means over other ones.
        """
        columns = [j for j, count in enumerate(categories) if count > MANY]
        if not columns:
            return None, []
        size = len(folds), targets.shape[1]
        tables = [np.empty((size[0], categories[j] + 2, size[1]), np.float32) for j in columns]
        made, inputs, codes = cls(columns, tables), [], codes[:, columns]
        for k, (rows, _) in enumerate(folds):
            crossed = np.empty((len(rows), len(columns), size[1]))
            for t, y in enumerate(targets[rows].T):
                for others, part in KFold(PARTS, shuffle=True, random_state=seed).split(rows):
                    encoder = _encoder(codes[rows[others]], y[others])
                    crossed[part, :, t] = encoder.transform(codes[rows[part]])
                encoder = _encoder(codes[rows], y)
                for i, values in enumerate(encoder.categories_):
                    tables[i][k, :, t] = encoder.target_mean_
                    tables[i][k, values, t] = encoder.encodings_[i]
            center, spread = crossed.mean(axis=0), crossed.std(axis=0)
            scale = np.where(spread > 0, spread, 1.0)
            for i, table in enumerate(tables):
                table[k] = _clipped((table[k] - center[i]) / scale[i], clip)
            of_fold = made._of_columns(codes, k)
            of_fold[rows] = _clipped((crossed - center) / scale, clip).reshape(len(rows), -1)
            inputs.append(of_fold)
        return made, inputs

    def inputs(self, codes, fold):
        """The inputs of a fold's network: a float32 array of shape (n, n_inputs)."""
        return self._of_columns(codes[:, self.columns], fold)

    def _of_columns(self, codes, fold):
        found = [table[fold][own] for table, own in zip(self.tables, codes.T, strict=True)]
        return np.concatenate(found, axis=1)

    def owners(self):
        """For each input the number of its category."""
        return np.repeat(self.columns, self.tables[0].shape[2])


def _encoder(codes, y):
    """A fitted TargetEncoder; what it does to training rows is not used."""
    return TargetEncoder(target_type="continuous").fit(codes, y)


def _clipped(z, clip):
    return z / np.hypot(1, z / clip)
