"""Forms with files: read within the limits of the API, and refused with the reason."""

from collections.abc import Iterable

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from gfi.api.problems import Refused


async def read_form(
    request: Request, content_type: str, files: str, most: int, known: Iterable[str]
) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """(name, bytes) of each file in the field `files`, at most `most`, and the other fields as text.

    known: the names of the other fields. Refused where the body is no form, has no file or an unknown field.
    """
    known = list(known)
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refused(415, "the body is not multipart/form-data", f"Send the files in its field `{files}`.")
    try:
        async with request.form(max_files=most, max_fields=2 * len(known)) as form:
            sent = [file for file in form.getlist(files) if isinstance(file, UploadFile)]
            read = [(file.filename or "", await file.read()) for file in sent]
            fields = {name: ",".join(map(str, form.getlist(name))) for name in form if name != files}
    except HTTPException as error:
        if error.status_code == 413:
            raise
        raise Refused(422, f"the form cannot be read: {error.detail}") from None
    except (ValueError, KeyError) as error:
        raise Refused(400, f"the form cannot be read: {error}") from None
    if not read:
        raise Refused(422, f"the form has no file in its field `{files}`")
    if unknown := sorted(set(fields) - set(known)):
        raise Refused(422, f"unknown field {unknown[0][:100]!r}; the fields are {files}, {', '.join(known)}")
    return read, fields
