"""Likelihoods with nuisance parameters, and what is made of them."""
