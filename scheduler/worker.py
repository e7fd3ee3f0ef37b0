"""`python -m scheduler.worker ARGUMENTS`: Celery's worker command over `scheduler.app`, the control worker.

`celery -A scheduler.app` would search the working directory first, which may contain another folder `scheduler`.
"""

import sys

from scheduler.app import app

if __name__ == "__main__":
    app.worker_main(["worker", *sys.argv[1:]])
