"""Errors of the command line itself. Their text is the one line the user reads."""


class CommandError(Exception):
    """The command cannot do what was asked; the message says why and what to do."""
