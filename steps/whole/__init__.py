"""The stages of the whole analysis that are of neither half."""
