"""Likelihood ratios from networks that know how weights depend on the parameters."""
