"""The one exception that a command turns into a single line for its user."""


class UserError(Exception):
    """Something the user can mend: the message says where it is and what to do.

    Commands print the message and end with status 2; `--debug` shows the traceback.
    """


class Stopped(BaseException):
    """A run ends early because it was asked to; nothing is lost.

    No `Exception`, so that nothing on the way takes it for a failure of its own.

    Attributes:
        where: how far the run is.
    """

    def __init__(self, where: str):
        super().__init__(where)
        self.where = where
