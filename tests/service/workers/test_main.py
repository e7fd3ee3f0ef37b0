"""A real worker process that cannot work ends at once and says why in one line."""

import os
import subprocess
import sys
from pathlib import Path

from tests.speed import slowness


def test_a_worker_whose_device_is_not_there_ends_with_one_line(tmp_path: Path) -> None:
    settings = {
        "GFI_DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}",
        "GFI_REDIS_URL": "redis://127.0.0.1:1",
        "GFI_S3_ENDPOINT": "http://127.0.0.1:1",
        "GFI_S3_BUCKET": "none",
        "GFI_DEVICE": "cuda:0",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "workers", "--queues", "explain"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120 * slowness(),
    )
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("gfi worker: device cuda:0 cannot be used: ")
