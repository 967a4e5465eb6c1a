"""Steps that are done already: what makes them the same, and where they are kept."""
