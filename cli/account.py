"""`gfi schedule`, `gfi gc`: what an operator sets up and cleans up."""

COMMANDS = ()
