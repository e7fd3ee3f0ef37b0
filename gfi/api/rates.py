"""How many requests a token may make a minute, whichever process of the API it asks.

A sliding window of a minute, counted in Redis for all processes together (library `limits`). Without Redis each process
counts by itself: that is a limit for each process, which is better than none and better than refusing everyone. Redis
is asked again after a few seconds.
"""

import time

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

NAMESPACE = "gfi:rate"
PATIENCE_S = 0.5
"""For Redis to answer; a request waits for it once."""
AGAIN_S = 5.0
"""Until Redis is asked again after it did not answer."""


class Rates:
    """Requests per token and minute. Thread-safe; connects when first asked."""

    def __init__(self) -> None:
        self._shared: RateLimiter | None = None
        self._away_until = 0.0
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, url: str | None, caller: str, per_minute: int) -> float:
        """Take one of a caller's requests; 0.0, or the seconds until there is one. url: of Redis."""
        limit = RateLimitItemPerMinute(per_minute, namespace=NAMESPACE)
        if url is not None and time.monotonic() >= self._away_until:
            try:
                if self._shared is None:
                    patience = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
                    self._shared = SlidingWindowCounterRateLimiter(storage_from_string(url, **patience))
                return _take(self._shared, limit, caller)
            except (RedisError, OSError, ValueError) as error:
                self._away_until = time.monotonic() + AGAIN_S
                log.warning("rates are counted by process", reason=type(error).__name__)
        return _take(self._local, limit, caller)


def _take(limiter: RateLimiter, limit: RateLimitItem, caller: str) -> float:
    if limiter.hit(limit, caller):
        return 0.0
    return max(0.001, limiter.get_window_stats(limit, caller).reset_time - time.time())
