"""The first page of a report: what was asked, and what an audit found, in sentences with pictures.

    question   what the masks are to answer
    audit      findings by verdict, what was tested, what would have been found; or why there is none

Pictures are files beside the page, `images/audit-FINDING-N.jpg`; nothing is loaded from elsewhere.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{12}(-\d+)?-([1-9]\.jpg|crop\.png)")


@dataclass(frozen=True)
class Picture:
    """name: of its file, `FINDING-1.jpg`. alt: what it shows. data: None where it is lost."""

    name: str
    alt: str
    data: bytes | None = None
    crop: bool = False


@dataclass(frozen=True)
class ToldFinding:
    """A finding for people. tags: its history and what was decided. images: keys of the images used.

    set_aside: dismissed, or gone since the audit before.
    """

    title: str
    where: str
    sentence: str
    tags: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    images: tuple[str, ...] = ()
    command: str = ""
    set_aside: bool = False


@dataclass(frozen=True)
class FindingGroup:
    """The findings of one verdict, with its meaning."""

    title: str
    meaning: str
    findings: tuple[ToldFinding, ...]


@dataclass(frozen=True)
class Limit:
    """The smallest share of a class's images in which a mark would have been found; "too few" where there is none."""

    class_name: str
    images: int
    share: str


@dataclass(frozen=True)
class AuditPage:
    """An audit that is done. limits_meaning: the sentence that the shares of `limits` complete."""

    verdict: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    groups: tuple[FindingGroup, ...]
    limits: tuple[Limit, ...]
    limits_meaning: str
    tested: str


@dataclass(frozen=True)
class FirstPage:
    """question: one sentence. audit: None without one; then `missing` says why, and `command` what would give one."""

    question: str
    audit: AuditPage | None = None
    missing: str = ""
    command: str = ""
    others: tuple[str, ...] = field(default=())
    """Sentences about other audits of the job."""


def written(page: FirstPage, images: Path, names: set[str]) -> FirstPage:
    """The page with its pictures in files of `images`, whose names are added to `names`; lost pictures are left out.

    Raises ValueError for a picture whose name is not that of a finding's picture.
    """
    if page.audit is None:
        return page
    groups = tuple(
        replace(group, findings=tuple(_written(group.findings, images, names))) for group in page.audit.groups
    )
    return replace(page, audit=replace(page.audit, groups=groups))


def _written(findings: Sequence[ToldFinding], images: Path, names: set[str]) -> Iterator[ToldFinding]:
    for finding in findings:
        kept = []
        for picture in finding.pictures:
            if picture.data is None:
                continue
            if not _NAME.fullmatch(picture.name):
                raise ValueError(f"{picture.name!r} is not the name of a finding's picture")
            name = f"audit-{picture.name}"
            (images / name).write_bytes(picture.data)
            names.add(name)
            kept.append(replace(picture, name=name, data=None))
        yield replace(finding, pictures=tuple(kept))
