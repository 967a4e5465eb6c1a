"""The errors of everything that a user can put right."""


class InputError(Exception):
    """One line: what is wrong, where (file, key) and what to do."""


class SettingError(InputError):
    """The same of a setting, by who does not know the file that it comes from: key first."""
