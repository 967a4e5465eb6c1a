"""An analysis of one histogram reinterpreted: templates, the model of pyhf, its limits."""
