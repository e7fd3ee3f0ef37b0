"""Every filter of every list takes its text as it is: wildcards and SQL match themselves and nothing else."""

from typing import Any

import pytest

from tests.service.api.conftest import World

TEXTS = ["%", "_", "\\", "%%%", "' OR '1'='1", "'; DROP TABLE jobs; --", '" OR ""="', "a\\%", "*", "$1", "{}"]


def text_filters(document: dict[str, Any]) -> list[tuple[str, str]]:
    """(path, parameter) of every query parameter of a GET that may be a text."""
    found = []
    for path, operations in document["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", []):
            kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
            if parameter["in"] == "query" and any(
                kind.get("type") in ("string", "array") or "$ref" in kind for kind in kinds
            ):
                found.append((path, parameter["name"]))
    return found


def values(item: Any) -> list[str]:
    """The texts of an answer's item, without names of fields and without places of files."""
    if isinstance(item, dict):
        kept = [value for name, value in item.items() if name not in ("dataset", "config", "part_key")]
        return [text for value in kept for text in values(value)]
    if isinstance(item, list):
        return [text for value in item for text in values(value)]
    return [str(item)]


@pytest.mark.parametrize("text", TEXTS)
def test_a_filter_matches_only_what_it_says(one_world: World, text: str) -> None:
    job = one_world.explained(name="an ordinary name", tags=["night"])
    document = one_world.client.get(
        "/v1/openapi.json", headers={"Authorization": f"Bearer {one_world.tokens['read']}"}
    ).json()
    filters = text_filters(document)
    assert len(filters) > 15
    for path, name in filters:
        if path.endswith("/events"):
            continue
        place = path.replace("{job_id}", job).replace("{row}", "0")
        answer = one_world.call("GET", place, params={name: text})
        assert answer.status_code in (200, 400, 404, 406, 422), (path, name, answer.text)
        if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
            body = answer.json()
            items = body if isinstance(body, list) else body.get("items", [])
            assert all(any(text in value for value in values(item)) for item in items), (
                path,
                name,
                items[:2],
            )
    assert one_world.call("GET", f"/v1/jobs/{job}").status_code == 200
