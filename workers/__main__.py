"""`python -m workers ARGUMENTS`: Celery's worker command over `workers.app`.

`celery -A workers.app` would search the working directory first, which may contain another folder `workers`.
"""

import sys

from workers.app import app

if __name__ == "__main__":
    app.worker_main(["worker", *sys.argv[1:]])
