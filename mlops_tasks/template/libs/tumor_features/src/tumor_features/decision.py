"""The decision: from which score on a sample is called benign."""

import numpy as np

DECISION_THRESHOLD = 0.5


def decide(scores: np.ndarray) -> np.ndarray:
    """1 (benign) for each score of at least DECISION_THRESHOLD, else 0 (malignant)."""
    return (scores >= DECISION_THRESHOLD).astype(int)
