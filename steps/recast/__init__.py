"""The stages of the reinterpretation, one module each."""
