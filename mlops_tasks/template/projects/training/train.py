"""Train a classifier of tumors and log it with what it is worth."""

import argparse

import matplotlib

matplotlib.use("Agg")

import data
import mlflow
import tumor_features
from matplotlib import pyplot
from mlflow.models import infer_signature
from sklearn import metrics, model_selection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test-size", type=float, default=0.25)
    parser.add_argument("--regularization", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    values, labels, names = data.load()
    train_values, test_values, train_labels, test_labels = model_selection.train_test_split(
        values, labels, test_size=arguments.test_size, random_state=arguments.seed, stratify=labels
    )
    model = data.make_model(arguments.regularization).fit(train_values, train_labels)
    scores = model.predict_proba(test_values)[:, 1]
    with mlflow.start_run():
        mlflow.log_params({"features": len(names), "threshold": tumor_features.DECISION_THRESHOLD})
        mlflow.log_metrics(measure(test_labels, scores))
        mlflow.log_figure(draw_roc(test_labels, scores), "roc.png")
        log_model(model, test_values)
    print(f"trained on {len(train_labels)} samples, tested on {len(test_labels)}")


def measure(labels, scores) -> dict:
    decisions = tumor_features.decide(scores)
    return {
        "accuracy": metrics.accuracy_score(labels, decisions),
        "precision": metrics.precision_score(labels, decisions),
        "recall": metrics.recall_score(labels, decisions),
        "roc_auc": metrics.roc_auc_score(labels, scores),
    }


def draw_roc(labels, scores):
    false_positives, true_positives, _ = metrics.roc_curve(labels, scores)
    figure, axes = pyplot.subplots()
    axes.plot(false_positives, true_positives)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    return figure


def log_model(model, values) -> None:
    """MLflow 3 calls a model's name `name`, MLflow 2 its `artifact_path`."""
    place = "name" if int(mlflow.__version__.split(".")[0]) >= 3 else "artifact_path"
    mlflow.sklearn.log_model(
        model,
        signature=infer_signature(values, model.predict(values)),
        pip_requirements=data.requirements(),
        **{place: "model"},
    )


if __name__ == "__main__":
    main()
