"""Features of cell nuclei, and the decision that is made on a model's scores."""

from tumor_features.decision import DECISION_THRESHOLD, decide
from tumor_features.growth import add_growth

__all__ = ["DECISION_THRESHOLD", "add_growth", "decide"]
