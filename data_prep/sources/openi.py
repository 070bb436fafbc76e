"""OpenI, the chest radiographs of Indiana University: XML reports, and their pictures where they were fetched.

    NLMCXR_reports.tgz, or ecgen-radiology/1.xml ...    anywhere below
    CXR1_1_IM-0001-3001.png                             NLMCXR_png.tgz unpacked; found by the parentImage ids of a report
    1/1_IM-0001-3001.dcm                                NLMCXR_dcm.tgz unpacked; taken before a PNG of the same picture
    indiana_projections.csv                             uid, filename, projection: tells Frontal from Lateral

A report names its pictures; those that are not there are counted in a remark and are no inputs.
"""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cxrpt.errors import InputError
from data_prep.files.table_rows import pick_columns
from data_prep.inputs import Export, Identifiers, ImageInput, ReportInput, SetAside, Study
from data_prep.ledger import Reason
from data_prep.linking.scan_dicom import choose_files
from data_prep.loose import LooseImage
from data_prep.pictures.views import normalise_view
from data_prep.processes.scan import Reading
from data_prep.sources.opened import OpenedSource, fingerprint

SECTIONS = ("INDICATION", "COMPARISON", "FINDINGS", "IMPRESSION")
PROJECTIONS = "indiana_projections.csv"
MAX_XML_BYTES = 4 * 1024**2
_PICTURES = (".png", ".jpg", ".jpeg")
_DICOM = ".dcm"
_REPORTS_ARCHIVE = re.compile(r"reports.*\.(tgz|tar\.gz|tar)$", re.IGNORECASE)
_PICTURES_ARCHIVE = re.compile(r"(png|dcm)[^/]*\.(tgz|tar\.gz|tar)$", re.IGNORECASE)
_NOT_JUDGED = frozenset({"no indexing", "technical quality of image unsatisfactory"})
"""MeSH headings of reports that nobody indexed: they say neither normal nor abnormal."""


@dataclass(frozen=True)
class _Found:
    images: tuple[Path, ...]
    reports: tuple[Path, ...]
    """XML files, or one archive of them."""
    projections: Path | None = None


def open_source(src: Path, options: object = None) -> OpenedSource:
    """Find the reports and, in a folder, the pictures and the table of projections.

    Raises:
        InputError: no reports, or pictures that are still packed.
    """
    found = _find(src)
    root = src if src.is_dir() else src.parent
    contents = [*found.reports, *([found.projections] if found.projections else [])]
    return OpenedSource(fingerprint(root, found.images, contents), partial(collect, root, found))


def _find(src: Path) -> _Found:
    if src.is_file():
        return _Found((), (src,))
    paths = sorted(Path(folder) / name for folder, _, names in os.walk(src) for name in names)
    xml = [path for path in paths if path.suffix.lower() == ".xml"]
    archives = [path for path in paths if _REPORTS_ARCHIVE.search(path.name)]
    if not xml and not archives:
        raise InputError(f"{src} holds neither NLMCXR_reports.tgz nor XML reports: name where OpenI was put")
    images = [path for path in paths if path.suffix.lower() in (*_PICTURES, _DICOM)]
    packed = next((path.name for path in paths if _PICTURES_ARCHIVE.search(path.name)), None)
    if packed and not images:
        raise InputError(f"{src} holds {packed}, still packed: unpack it (tar xzf), or name the archive of reports alone")
    projections = next((path for path in paths if path.name.lower() == PROJECTIONS), None)
    # The folder wins where the archive was unpacked beside itself.
    return _Found(tuple(images), tuple(xml or archives[:1]), projections)


@dataclass(frozen=True)
class _Pictures:
    """Pictures by number, what their headers say, the views that the table tells, and which a report has taken."""

    by_number: dict[str, ImageInput]
    headers: dict[str, LooseImage]
    taken: set[str]


def collect(root: Path, found: _Found, reading: Reading) -> Export:
    """Parse every report and put its pictures to it; a report is a patient, as the data set tells no more."""
    pictures, set_aside = _pictures(root, found, reading)
    # A DICOM file that was set aside by its header is there all the same: no report misses it.
    refused = {_number(Path(one.input_id).name) for one in set_aside}
    studies: list[Study] = []
    num_absent = 0
    for input_id, content in _documents(root, found.reports):
        if content is None:
            set_aside.append(SetAside(input_id, "report", Reason.CANNOT_READ))
            continue
        try:
            document = fromstring(content)
        except (ParseError, DefusedXmlException, ValueError, LookupError):
            # The last is an encoding that there is not.
            set_aside.append(SetAside(input_id, "report", Reason.BROKEN_REPORT))
            continue
        numbers = dict.fromkeys(_number(one.get("id", "")) for one in document.iter("parentImage"))
        mine = [number for number in numbers if number in pictures.by_number and number not in pictures.taken]
        num_absent += sum(number not in pictures.by_number and number not in refused for number in numbers)
        pictures.taken.update(mine)
        studies.append(_study(document, input_id, mine, pictures))
    loose = [image for number, image in pictures.by_number.items() if number not in pictures.taken]
    set_aside += [SetAside(image.input_id, image.type, Reason.NOT_IN_TABLE) for image in loose]
    studies.sort(key=lambda study: study.study)
    remarks = [f"{num_absent} pictures that reports name are not there; they are no inputs"]
    if pictures.by_number and found.projections is None:
        remarks.append(f"no {PROJECTIONS}: the views are those of the headers, or unknown")
    return Export(tuple(studies), tuple(set_aside), remarks=tuple(remarks))


def _pictures(root: Path, found: _Found, reading: Reading) -> tuple[_Pictures, list[SetAside]]:
    """One file a picture; copies, and files that their header refuses, are set aside."""
    views = _views(found.projections) if found.projections else {}
    copies: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(found.images, key=lambda path: (path.suffix.lower() != _DICOM, path)):
        copies.setdefault(_number(path.name), []).append((os.path.relpath(path, root), path))
    chosen, scanned, set_aside = choose_files(copies, reading)
    by_number, headers = {}, {}
    for number, (name, path) in chosen.items():
        told = views.get(number, "")
        if header := scanned.get(name):
            headers[number] = header
            by_number[number] = replace(header.image, image_id=f"picture {number}", view=_view(told, header.image.view))
        elif path.suffix.lower() != _DICOM:
            by_number[number] = ImageInput(name, path, "picture", f"picture {number}", normalise_view(told))
    return _Pictures(by_number, headers, set()), set_aside


def _view(told: str, header: str) -> str:
    """The table's word, with PA or AP from the header where the table says Frontal; a contradiction is UNKNOWN."""
    if told.strip().lower() == "frontal":
        return header if header != "LATERAL" else "UNKNOWN"
    return normalise_view(told) if told else header


def _documents(root: Path, reports: tuple[Path, ...]) -> Iterator[tuple[str, bytes | None]]:
    """Input id and content of every report; no content where a file cannot be read.

    Raises:
        InputError: an archive is none, or is cut off.
    """
    for path in reports:
        if path.suffix.lower() == ".xml":
            yield f"report {os.path.relpath(path, root)}", _content(path)
            continue
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() and member.name.lower().endswith(".xml") else None
                    if file is not None:
                        yield f"report {member.name}", file.read(MAX_XML_BYTES)
        except (tarfile.TarError, EOFError, zlib.error, OSError):
            raise InputError(f"{path} is no whole tar archive: fetch it again") from None


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_XML_BYTES)
    except OSError:
        return None


def _study(document: Element, input_id: str, numbers: list[str], pictures: _Pictures) -> Study:
    uid_element = document.find("uId")
    uid = uid_element.get("id", "") if uid_element is not None else ""
    majors = {(major.text or "").strip().lower() for major in document.iter("major")} - {""}
    headers = [pictures.headers[number] for number in numbers if number in pictures.headers]
    sexes = {header.sex for header in headers if header.sex}
    return Study(
        patient=uid or input_id,
        study=uid or input_id,
        images=tuple(pictures.by_number[number] for number in numbers),
        report=ReportInput(input_id, _text(document)),
        labels={"normal": int(majors == {"normal"})} if majors - _NOT_JUDGED else {},
        age=next((header.age for header in headers if header.age is not None), None),
        sex=sexes.pop() if len(sexes) == 1 else None,
        identifiers=sum((header.identifiers for header in headers), Identifiers()),
    )


def _text(document: Element) -> str:
    """The sections with their titles, a paragraph each; entities that were escaped twice are put right."""
    bodies = {one.get("Label", "").upper(): " ".join("".join(one.itertext()).split()) for one in document.iter("AbstractText")}
    for title, body in bodies.items():
        for entity, char in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'")):
            body = body.replace(entity, char)
        bodies[title] = body
    return "\n\n".join(f"{title}: {bodies[title]}" for title in SECTIONS if bodies.get(title))


def _views(projections: Path) -> dict[str, str]:
    """What the table calls the view, by the number of a picture."""
    return {_number(filename): view for filename, view in pick_columns(projections, "table", "filename", "projection")}


def _number(name: str) -> str:
    """`CXR1_1_IM-0001-3001`, `1_IM-0001-3001.dcm` and `1_IM-0001-3001.dcm.png` are one picture, `1_IM-0001-3001`."""
    return re.sub(r"^CXR\d+_(?=\d+_)|^CXR", "", name.split(".")[0])
