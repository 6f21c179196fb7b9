"""The one exception that means: the input is wrong, and here is what to do about it."""


class HeadstartError(ValueError):
    """Something the user gave cannot work.

    The message names what is wrong (the file, the row or the parameter) and what to do. The command
    line prints it alone, without a traceback, and ends with exit code 1.
    """
