"""Tests of inference; a package, whose toys other folders of tests may import."""
