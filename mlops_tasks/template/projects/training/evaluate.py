"""Cross-validate the classifier, and log how much its worth varies."""

import argparse

import data
import mlflow
import numpy as np
import tumor_features
from sklearn import metrics, model_selection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--regularization", type=float, default=1.0)
    arguments = parser.parse_args()

    values, labels, _ = data.load()
    model = data.make_model(arguments.regularization)
    scores = model_selection.cross_val_predict(model, values, labels, cv=arguments.folds, method="predict_proba")[:, 1]
    folds = model_selection.cross_val_score(model, values, labels, cv=arguments.folds, scoring="roc_auc")
    with mlflow.start_run():
        mlflow.log_metrics(
            {
                "accuracy": metrics.accuracy_score(labels, tumor_features.decide(scores)),
                "roc_auc": float(np.mean(folds)),
                "roc_auc_std": float(np.std(folds)),
            }
        )
    print(f"evaluated in {arguments.folds} folds")


if __name__ == "__main__":
    main()
