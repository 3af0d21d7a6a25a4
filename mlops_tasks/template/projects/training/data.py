"""The data set and the model, as training and evaluation share them."""

import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

try:
    import tumor_features
except ModuleNotFoundError as fault:
    if fault.name != "tumor_features":
        raise
    raise SystemExit("tumor_features is not installed: release its wheel with `inv release`") from fault


def load():
    """Samples with their growth features, their labels (1 is benign), and the features' names."""
    found = load_breast_cancer()
    values, names = tumor_features.add_growth(found.data, [str(name) for name in found.feature_names])
    return values, found.target, names


def make_model(regularization: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularization, max_iter=1000))


def requirements() -> list:
    """What the logged model needs to be loaded again."""
    return [f"scikit-learn=={sklearn.__version__}"]
