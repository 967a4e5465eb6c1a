"""Generators and detectors behind one protocol each, by the names of the input file."""
