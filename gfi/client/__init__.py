"""A typed client of the HTTP API, for programs and notebooks.

Needs httpx alone; masks need numpy and frames pandas (``pip install "gfi[client]"``). A request that did not reach the
service, or reached it while it restarted, is repeated. This is safe for submissions too: each has an idempotency key.

Examples
--------
>>> from gfi import Client
>>> client = Client()  # GFI_API_URL and GFI_TOKEN, or Client("http://127.0.0.1:8000", token="gfi_…")
>>> job = client.submit("/data/photographs", model="efficientnet-lite0", metrics=["deletion"])
>>> frame = job.wait().results().to_pandas()
>>> mask = job.mask(0)
>>> mask.dtype, mask.shape
(dtype('float32'), (224, 224))
"""

from gfi.client.client import Client
from gfi.client.connection import ApiError
from gfi.client.job import TERMINAL, Job, Progress, Results

__all__ = ["TERMINAL", "ApiError", "Client", "Job", "Progress", "Results"]
