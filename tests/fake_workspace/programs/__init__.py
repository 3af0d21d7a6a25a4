"""Programs of a cluster's machine that can't be had here: strict stand-ins that refuse what MLflow doesn't say."""
