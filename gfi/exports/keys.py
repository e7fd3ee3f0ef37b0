"""Names and texts from a dataset, made safe for file systems, archives, spreadsheets and XML."""

import hashlib
import re

LONGEST_PART = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_path(key: str) -> str:
    """A relative path that stays below its folder on every system, from an image's key.

    Where the key had to be changed, a digest of it is added, so that two keys never give one path.

    >>> safe_path("a/b.jpg")
    'a/b.jpg'
    >>> safe_path("../../etc/passwd")
    'etc/passwd-2a5e13ed'
    >>> safe_path("C:/x.jpg")
    'C_/x-11d3b2b3.jpg'
    """
    text = key.encode("utf-8", "replace").decode()
    parts = [_safe_part(part) for part in text.split("/") if part not in ("", ".", "..")]
    path = "/".join(parts) or "image"
    if path == key:
        return path
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{folder}{slash}" + (f"{stem}-{digest}.{ending}" if dot and stem else f"{name}-{digest}")


def _safe_part(part: str) -> str:
    made = _FORBIDDEN.sub("_", part).rstrip(". ") or "_"
    if _RESERVED.fullmatch(made):
        made = f"_{made}"
    return made.encode()[:LONGEST_PART].decode("utf-8", "ignore")


def safe_cell(value: object) -> object:
    """A text that no spreadsheet reads as a formula: one that begins like a formula gets an apostrophe in front.

    >>> safe_cell("=1+1"), safe_cell("a.jpg"), safe_cell(-0.5)
    ("'=1+1", 'a.jpg', -0.5)
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value


def xml_text(text: str) -> str:
    """Text without the characters that XML 1.0 does not allow, on one line.

    >>> xml_text("a\\nb")
    'a_b'
    """
    kept = (
        c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" else "_" for c in text
    )
    return "".join(kept)
