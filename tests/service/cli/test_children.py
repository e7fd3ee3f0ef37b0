"""Child processes end with their parent, and records distinguish them from others with the same number."""

import os
import subprocess
import sys

import psutil

from gfi.cli.children import end_processes, popen, process_record, same_process
from tests.speed import slowness

STARTER = """
import threading, time
from gfi.cli.children import popen
started = []
thread = threading.Thread(target=lambda: started.append(popen(["sleep", "60"])))
thread.start()
thread.join()
time.sleep(0.2)
print(started[0].pid if started[0].poll() is None else 0, flush=True)
time.sleep(60)
"""


def test_a_process_outlives_the_thread_that_started_it_but_not_the_process() -> None:
    starter = popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    assert psutil.wait_procs([child], timeout=60 * slowness())[1] == []


def test_a_record_is_of_one_process_and_not_of_a_later_one_with_its_number() -> None:
    own = process_record(os.getpid())
    assert same_process(own) == psutil.Process()
    assert same_process({**own, "started": own["started"] - 5}) is None
    assert same_process({}) is None
    ended = popen(["true"])
    record = process_record(ended.pid)
    ended.wait()
    assert same_process(record) is None


def test_processes_that_ignore_sigterm_are_killed() -> None:
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    )
    process = popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    end_processes([process_record(process.pid), {"pid": os.getpid(), "started": 1.0}], grace_s=0.1)
    assert process.wait(60) == -9
