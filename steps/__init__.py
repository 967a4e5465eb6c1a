"""The steps of the workflow: a script for each stage, and the libraries they call."""

__version__ = "1.0.0"
