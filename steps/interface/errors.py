"""The error of everything that a user can put right."""


class InputError(Exception):
    """One line: what is wrong, where (file, key) and what to do."""
