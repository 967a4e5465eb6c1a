"""MLflow, where a server is named."""
