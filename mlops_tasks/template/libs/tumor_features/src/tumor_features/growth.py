"""Growth: how far the worst nuclei of a sample are from its mean ones."""

from typing import List, Sequence, Tuple

import numpy as np


def add_growth(values: np.ndarray, names: Sequence[str]) -> Tuple[np.ndarray, List[str]]:
    """Add a column `growth of X`, worst by mean, for each X that has both a `mean X` and a `worst X` column.

    `values` has a row for each sample and a column for each of `names`. Where the mean is 0 the growth is 1.
    """
    column = {name: index for index, name in enumerate(names)}
    measures = [name[len("mean ") :] for name in names if name.startswith("mean ")]
    measures = [measure for measure in measures if f"worst {measure}" in column]
    growths = [_divide(values[:, column[f"worst {each}"]], values[:, column[f"mean {each}"]]) for each in measures]
    return np.column_stack([values, *growths]), [*names, *(f"growth of {each}" for each in measures)]


def _divide(worst: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.divide(worst, mean, out=np.ones_like(worst), where=mean != 0)
