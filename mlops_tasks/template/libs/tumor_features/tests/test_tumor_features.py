import numpy as np
import tumor_features


def test_growth_is_worst_by_mean() -> None:
    values, names = tumor_features.add_growth(np.array([[2.0, 6.0, 5.0]]), ["mean radius", "worst radius", "mean area"])

    assert names == ["mean radius", "worst radius", "mean area", "growth of radius"]
    assert values.tolist() == [[2.0, 6.0, 5.0, 3.0]]


def test_growth_is_1_where_there_is_nothing_to_grow_from() -> None:
    values, _ = tumor_features.add_growth(np.array([[0.0, 0.0]]), ["mean concavity", "worst concavity"])

    assert values.tolist() == [[0.0, 0.0, 1.0]]


def test_the_threshold_itself_counts_as_benign() -> None:
    threshold = tumor_features.DECISION_THRESHOLD

    assert tumor_features.decide(np.array([threshold - 0.01, threshold])).tolist() == [0, 1]
