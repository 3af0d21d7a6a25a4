"""Where the facts behind the findings come from: pages of Databricks and others, files of the real clients."""

from __future__ import annotations

from mlops_tasks.workspace import runtimes

ACCESS_MODES = "https://learn.microsoft.com/azure/databricks/compute/standard-limitations"
CLI_WHEELS = "github.com/databricks/cli: bundle/trampoline/python_dbr_warning.go"
CLUSTER_SIZE = "https://github.com/mlflow/mlflow/issues/1842"
CLUSTERS = "databricks-sdk: databricks/sdk/service/compute.py"
EXPERIMENT_NAMES = "https://github.com/mlflow/mlflow/issues/8269"
EXPERIMENT_PREFIX = "https://github.com/mlflow/mlflow/issues/11077"
LIBRARIES = "https://docs.databricks.com/libraries.html"
LIBRARY_URIS = "https://github.com/dagster-io/dagster/issues/21326"
MLFLOW_BACKEND = "mlflow: mlflow/projects/databricks.py"
MLFLOW_REGISTRY = "mlflow: mlflow/tracking/_model_registry"
PATCH = "mlops_tasks: steps/patch.py"
PIP = "pip: `already installed with the same version`"
PROJECTS = "https://learn.microsoft.com/azure/databricks/archive/mlflow/projects"
PYTHONS = "https://devguide.python.org/versions/"
READERS = "mlops_tasks: what a release refuses before it begins"
RUNTIMES = runtimes.RELEASES
SINGLE_NODE = "https://github.com/databricks/terraform-provider-databricks/issues/3632"
SPARK_PYTHONS = "pyspark: pyspark/worker_util.py (PYTHON_VERSION_MISMATCH)"
VOLUMES = "https://docs.databricks.com/en/volumes.html"
WHEEL_TAGS = "https://packaging.python.org/specifications/platform-compatibility-tags/"
WORKSPACE_FILES = "https://learn.microsoft.com/azure/databricks/files/workspace"
UNTRIED = "no page and no client shows it"
