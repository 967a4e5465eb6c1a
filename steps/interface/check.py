"""Cross-checks of all inputs of a run, before anything runs."""
from steps.interface.inputs import load_ph, load_ml
def check_inputs(ph=None, ml=None, data_file=None, parameters=None):
    if ph: load_ph(ph)
    if ml: load_ml(ml)
