"""What a user did wrong, told in words."""


class UserError(Exception):
    """Bad input: the message is one readable line per mistake; the command line prints it and exits with 2.

    Raise it where the user can act on the message (a wrong key, a missing path, an unknown name); let every
    other failure be the exception it is.
    """
