"""Request bodies as strict JSON (RFC 8259): NaN, Infinity and nesting beyond the parser's depth are refused."""

import json
from collections.abc import Callable
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return json.loads(await self.body(), parse_constant=_refuse)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from None


class StrictRoute(APIRoute):
    """A route whose body must be strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """FastAPI's hook."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            answer: Response = await handle(_StrictRequest(request.scope, request.receive))
            return answer

        return strict
