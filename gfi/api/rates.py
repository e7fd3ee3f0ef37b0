"""Requests per minute for each token, counted over all processes of the API.

A moving window of one minute in Redis (library `limits`): a request is allowed when fewer than the limit were allowed
in the minute before it. While Redis does not answer, each process counts in its own memory: a limit per process is
better than no limit, and better than refusing all requests. Redis is tried again after `RETRY_S`.
"""

import time

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

NAMESPACE = "gfi:rate"
TIMEOUT_S = 0.5
"""How long a request waits for Redis."""
RETRY_S = 5.0
"""How long Redis is not tried after it did not answer."""


class Rates:
    """Requests of each token in the last minute. Thread-safe; connects to Redis when first asked."""

    def __init__(self) -> None:
        self._shared: MovingWindowRateLimiter | None = None
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._shared_again_at = 0.0

    def take(self, redis_url: str | None, token_id: str, per_minute: int) -> float:
        """Count one request of a token. Returns 0.0 when it is allowed, else the seconds until the next one is."""
        limit = RateLimitItemPerMinute(per_minute, namespace=NAMESPACE)
        if redis_url is not None and time.monotonic() >= self._shared_again_at:
            try:
                if self._shared is None:
                    timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
                    self._shared = MovingWindowRateLimiter(storage_from_string(redis_url, **timeouts))
                return _take(self._shared, limit, token_id)
            except (RedisError, OSError, ValueError) as error:
                self._shared_again_at = time.monotonic() + RETRY_S
                log.warning("requests are counted by process", reason=type(error).__name__)
        return _take(self._local, limit, token_id)


def _take(limiter: MovingWindowRateLimiter, limit: RateLimitItem, token_id: str) -> float:
    if limiter.hit(limit, token_id):
        return 0.0
    return max(0.001, limiter.get_window_stats(limit, token_id).reset_time - time.time())
