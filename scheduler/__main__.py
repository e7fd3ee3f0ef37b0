"""`python -m scheduler`: the loop of `scheduler.loop`, until SIGTERM."""

import argparse

from gfi.store.settings import Settings
from scheduler.loop import run


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m scheduler", description=__doc__)
    parser.add_argument("--interval", type=float, help="seconds between two ticks (default: GFI_POLL_S)")
    pause_s = parser.parse_args().interval
    settings = Settings.load().require_stack()
    run(settings, settings.poll_s if pause_s is None else pause_s)


if __name__ == "__main__":
    main()
