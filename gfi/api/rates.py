"""How many requests a token may make a minute, whichever process of the API it asks.

A bucket that refills: `per_minute` requests at once, then one every 60 / `per_minute` seconds. Redis holds one number
a token, the time at which its bucket will be full again, by Redis' own clock; a script reads and moves it in one step,
so processes cannot both take the last request. The key goes when the bucket is full.

Without Redis each process counts by itself: that is a limit for each process, which is better than none and better
than refusing everyone. Redis is asked again after a few seconds.
"""

import threading
import time
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

PREFIX = "gfi:rate:"
PATIENCE_S = 0.5
"""For Redis to answer; a request waits for it once."""
AGAIN_S = 5.0
"""Until Redis is asked again after it did not answer."""

# The generic cell rate algorithm. ARGV: seconds a request costs, seconds of burst. Returns 0, or milliseconds to wait.
_TAKE = """
local at = redis.call('TIME')
local now = at[1] + at[2] / 1e6
local cost, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now) or now, now) + cost
local wait = full - now - burst
if wait > 1e-6 then return math.ceil(wait * 1000) end
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return 0
"""


class Rates:
    """Requests per token and minute. Thread-safe; connects when first asked."""

    def __init__(self) -> None:
        self._script: Any = None
        self._away_until = 0.0
        self._alone = Alone()

    def take(self, url: str | None, caller: str, per_minute: float) -> float:
        """Take one of a caller's requests; 0.0, or the seconds until there is one. url: of Redis."""
        if url is not None and time.monotonic() >= self._away_until:
            try:
                if self._script is None:
                    client = redis.Redis.from_url(
                        url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
                    )
                    self._script = client.register_script(_TAKE)
                return int(self._script(keys=[PREFIX + caller], args=[60.0 / per_minute, 60.0])) / 1000
            except (RedisError, OSError, ValueError) as error:
                self._away_until = time.monotonic() + AGAIN_S
                log.warning("rates are counted by process", reason=type(error).__name__)
        return self._alone.take(caller, per_minute)


class Alone:
    """The same in this process alone."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, per_minute: float) -> float:
        """As `Rates.take`."""
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.get(caller, (per_minute, now))
            left = min(per_minute, left + (now - at) * per_minute / 60.0)
            allowed = left >= 1.0
            self._buckets[caller] = (left - 1.0 if allowed else left, now)
            if len(self._buckets) > 10_000:  # tokens long gone
                self._buckets.pop(next(iter(self._buckets)))
        return 0.0 if allowed else (1.0 - left) * 60.0 / per_minute
