"""`python -m scheduler.worker ARGUMENTS`: Celery's worker command over `scheduler.app`, the control worker.

`celery -A scheduler.app` would search the working directory first, where a folder `scheduler` may be somebody else's.
"""

import sys

from scheduler.app import app

if __name__ == "__main__":
    app.worker_main(["worker", *sys.argv[1:]])
