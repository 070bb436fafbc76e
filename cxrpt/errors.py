"""The one exception that means "the user's input is wrong"."""


class InputError(ValueError):
    """Bad input: its message is one line with the value, the rule it breaks and what to do.

    The command line prints that line and ends with exit code 2; any other exception is a defect of ours.
    The message must never hold patient data (a path of an export identifies too).
    """
