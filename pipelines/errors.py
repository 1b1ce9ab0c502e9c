"""The exception for mistakes of the user."""


class UserError(Exception):
    """Bad input. The message has one line per mistake; the command line prints it and exits with status 2.

    Raise it only where the user can act on the message: a wrong key, a missing path, an unknown name.
    """
