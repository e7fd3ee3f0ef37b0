"""Requests to the service: repeated while it restarts; a refusal is raised with the service's explanation."""

import os
import time
from pathlib import Path
from typing import Any, Self

import httpx

ATTEMPTS = 6
"""Attempts for one request, with growing pauses between them, 15.5 s in all."""
_TRY_AGAIN = frozenset({429, 502, 503, 504})
"""HTTP statuses of a service that is busy or restarting."""


class ApiError(Exception):
    """The service refused a request or did not answer. ``str(error)`` is the explanation with advice.

    Attributes
    ----------
    status : int
        The HTTP status; 0 when there was no answer.
    problem : dict
        The whole answer (RFC 9457).
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        detail, advice = problem.get("detail") or f"HTTP status {status}", problem.get("advice", "")
        super().__init__(f"{detail} — {advice}" if advice else detail)
        self.status, self.problem = status, problem


class Connection:
    """Requests with a token to one address. Thread-safe; a context manager that closes its connections."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        attempts: int = ATTEMPTS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get("GFI_API_URL") or "http://127.0.0.1:8000"
        token = token or os.environ.get("GFI_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._attempts = attempts
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """GET, as JSON."""
        return self.send("GET", path, params=params).json()

    def bytes(self, path: str, params: dict[str, Any] | None = None) -> bytes:
        """GET, as bytes."""
        return self.send("GET", path, params=params).content

    def download(self, path: str, target: Path, params: dict[str, Any] | None = None) -> None:
        """GET into a file, completely or not at all. A download that breaks off goes on where it was, if the service
        can do that; otherwise it begins again.

        Raises
        ------
        ApiError
            When the service refuses, or does not answer.
        """
        unfinished = target.with_name(target.name + ".part.tmp")
        unfinished.unlink(missing_ok=True)
        try:
            for attempt in range(self._attempts):
                try:
                    self._download(path, unfinished, params)
                    break
                except (httpx.TransportError, _Busy) as error:
                    if attempt == self._attempts - 1:
                        raise ApiError(
                            0, {"detail": f"{self._http.base_url} does not answer: {error}"}
                        ) from None
                    time.sleep(min(8.0, 0.5 * 2**attempt))
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _download(self, path: str, unfinished: Path, params: dict[str, Any] | None) -> None:
        there = unfinished.stat().st_size if unfinished.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        with self._http.stream("GET", path, params=params, headers=headers) as answer:
            if answer.status_code in _TRY_AGAIN:
                raise _Busy(f"HTTP status {answer.status_code}")
            if not answer.is_success:
                answer.read()
                raise ApiError(answer.status_code, _problem(answer))
            with unfinished.open("ab" if answer.status_code == 206 else "wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request, repeated while the service is busy or restarting.

        A POST without an idempotency key is sent once: repeating it could do its work twice.

        Parameters
        ----------
        method, path, **request
            As `httpx.Client.request` takes them.

        Raises
        ------
        ApiError
            When the service refuses, or does not answer.
        """
        safe = method != "POST" or "Idempotency-Key" in request.get("headers", {})
        for attempt in range(self._attempts):
            last = attempt == self._attempts - 1 or not safe
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if last:
                    raise ApiError(0, {"detail": f"{self._http.base_url} does not answer: {error}"}) from None
            else:
                if answer.is_success:
                    return answer
                if answer.status_code not in _TRY_AGAIN or last:
                    raise ApiError(answer.status_code, _problem(answer))
            time.sleep(min(8.0, 0.5 * 2**attempt))
        raise AssertionError("unreachable")


class _Busy(Exception):
    """The service is busy or restarting."""


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        return {"detail": answer.text[:300]}
    return problem if isinstance(problem, dict) else {"detail": str(problem)}
