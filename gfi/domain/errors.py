"""Errors of the method. Loads no torch.

`str(error)` is one line that says what is wrong and what to do about it; the command line prints it unchanged.
"""


class MethodError(Exception):
    """A model, layer, recipe or tensor that cannot be used."""


class Stopped(Exception):
    """The stop event was set. Raised within one optimiser step; explanations yielded before it are complete."""


class OutOfMemory(MethodError):
    """The device cannot hold this batch.

    The batch is part of the execution profile (`gfi.domain.profile`), so the engine never shrinks it silently: the
    caller builds a new `Engine` with a batch of `suggested` images and starts the stream again under that profile.
    `suggested` is None when not even one image fits.
    """

    def __init__(self, batch: int, suggested: int | None) -> None:
        self.batch = batch
        self.suggested = suggested
        advice = f"run it again with --batch {suggested}" if suggested else "use a smaller input or network"
        super().__init__(f"out of memory with {batch} image{'s' * (batch != 1)} per batch; {advice}")
