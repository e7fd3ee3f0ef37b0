"""What can go wrong in the method, in words a user can act on.

`str(error)` is one line that says what is wrong and what to do about it; the command line prints it
as it is.
"""


class MethodError(Exception):
    """A wrong model, layer, recipe or tensor."""


class Stopped(Exception):
    """The stop event was set; raised within one optimiser step. What was yielded before stands."""


class OutOfMemory(MethodError):
    """The device cannot hold this batch.

    The batch is part of the execution profile (see `engine.Profile`), so the engine never shrinks it
    silently: whoever owns the stream builds a new `Engine` with `suggested` images a batch and starts
    the shard again under that profile. `suggested` is None when not even one image fits.
    """

    def __init__(self, batch: int, suggested: int | None) -> None:
        self.batch = batch
        self.suggested = suggested
        advice = f"run it again with --batch {suggested}" if suggested else "use a smaller input or network"
        super().__init__(f"out of memory with {batch} image{'s' * (batch != 1)} a batch; {advice}")
