"""The one exception that a command turns into a single line for its user."""


class UserError(Exception):
    """Something the user can mend: the message says where it is and what to do.

    Commands print the message and end with status 2; `--debug` shows the traceback.
    """
