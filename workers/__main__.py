"""`python -m workers ARGUMENTS`: Celery's worker command over `workers.app`.

`celery -A workers.app` would search the working directory first, which may contain another folder `workers`.
"""

import sys

from gfi.store.errors import one_line
from workers.app import app, services

NO_DEVICE = 3
"""Exit status of a worker whose device cannot be used."""


def main() -> None:
    """Run a worker. It ends at once where its device cannot be used: it would fail every shard that it claims."""
    own = services()
    try:
        own.device_facts()
    except Exception as error:  # torch raises RuntimeError, AssertionError and others
        sys.stderr.write(f"gfi worker: device {own.device} cannot be used: {one_line(error)}\n")
        sys.exit(NO_DEVICE)
    app.worker_main(["worker", *sys.argv[1:]])


if __name__ == "__main__":
    main()
