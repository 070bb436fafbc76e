"""OpenI, the chest radiographs of Indiana University: XML reports, and their pictures where they were fetched.

NLMCXR_reports.tgz, or ecgen-radiology/1.xml ... anywhere below
**/CXR1_1_IM-0001-3001.png          found by the parentImage ids of a report
**/indiana_projections.csv          uid, filename, projection: the only source of the view
"""

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from cxrpt.errors import InputError
from data_prep.chest import normalise_view
from data_prep.inputs import Export, ImageInput, ReportInput, SetAside, Study
from data_prep.ledger import Reason
from data_prep.tables import find_column, read_table

SECTIONS = ("INDICATION", "COMPARISON", "FINDINGS", "IMPRESSION")
PROJECTIONS = "indiana_projections.csv"
_PICTURES = (".png", ".jpg", ".jpeg")
MAX_XML_BYTES = 4 * 1024**2


def files_of(src: Path) -> tuple[list[Path], list[Path], Path | None]:
    """Pictures, report files (XML, or archives of them), and the table of projections where there is one.

    Raises:
        InputError: no reports.
    """
    if src.is_file():
        return [], [src], None
    found = sorted(Path(folder) / name for folder, _, names in os.walk(src) for name in names)
    xml = [path for path in found if path.suffix.lower() == ".xml"]
    archives = [path for path in found if re.search(r"reports.*\.(tgz|tar\.gz|tar)$", path.name, re.IGNORECASE)]
    if not xml and not archives:
        raise InputError(f"{src} holds neither NLMCXR_reports.tgz nor XML reports: name where OpenI was put")
    projections = next((path for path in found if path.name == PROJECTIONS), None)
    # The folder wins where the archive was unpacked beside itself.
    return [path for path in found if path.suffix.lower() in _PICTURES], xml or archives[:1], projections


def collect(src: Path, pictures: Sequence[Path], reports: Sequence[Path], projections: Path | None, processes: int) -> Export:
    """Parse every report and put its pictures to it; a report is a patient, as the data set tells no more."""
    views = _views(projections) if projections else {}
    by_stem = {path.stem: path for path in pictures}
    studies: list[Study] = []
    set_aside: list[SetAside] = []
    taken: set[str] = set()
    num_without = 0
    for input_id, content in _documents(src, reports):
        try:
            root = fromstring(content)
        except (ParseError, DefusedXmlException, ValueError):
            set_aside.append(SetAside(input_id, "report", Reason.BROKEN_REPORT))
            continue
        stems = [one.get("id", "") for one in root.iter("parentImage")]
        images = []
        for stem in dict.fromkeys(stems):
            path = by_stem.get(stem)
            if path is None or stem in taken:
                num_without += 1
                continue
            taken.add(stem)
            name = str(path.relative_to(src))
            images.append(ImageInput(name, path, "picture", f"picture {stem}", views.get(_number(stem), "UNKNOWN")))
        studies.append(_study(root, input_id, tuple(images)))
    loose = sorted(str(by_stem[stem].relative_to(src)) for stem in by_stem if stem not in taken)
    set_aside += [SetAside(name, "picture", Reason.NOT_IN_TABLE) for name in loose]
    same = sorted(str(path.relative_to(src)) for path in pictures if by_stem[path.stem] != path)
    set_aside += [SetAside(name, "picture", Reason.DUPLICATE) for name in same]
    studies.sort(key=lambda study: study.study)
    return Export(tuple(studies), tuple(set_aside), remarks=(f"{num_without} pictures that reports name are not there",))


def _documents(src: Path, reports: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Input id and content of every report.

    Raises:
        InputError: an archive is none, or is cut off.
    """
    for path in reports:
        if path.suffix.lower() == ".xml":
            yield f"report {path.relative_to(src) if src.is_dir() else path.name}", path.read_bytes()[:MAX_XML_BYTES]
            continue
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() and member.name.lower().endswith(".xml") else None
                    if file is not None:
                        yield f"report {member.name}", file.read(MAX_XML_BYTES)
        except (tarfile.TarError, EOFError, OSError):
            raise InputError(f"{path} is no whole tar archive: fetch it again") from None


def _study(root: Element, input_id: str, images: tuple[ImageInput, ...]) -> Study:
    uid_element = root.find("uId")
    uid = uid_element.get("id", "") if uid_element is not None else ""
    majors = [(major.text or "").strip().lower() for major in root.iter("major")]
    return Study(
        patient=uid or input_id,
        study=uid or input_id,
        images=images,
        report=ReportInput(input_id, _text(root)),
        labels={"normal": int(majors == ["normal"])} if majors else {},
    )


def _text(root: Element) -> str:
    """The sections with their titles, a paragraph each; entities that were escaped twice are put right."""
    bodies = {one.get("Label", "").upper(): " ".join("".join(one.itertext()).split()) for one in root.iter("AbstractText")}
    for title, body in bodies.items():
        for entity, char in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'")):
            body = body.replace(entity, char)
        bodies[title] = body
    return "\n\n".join(f"{title}: {bodies[title]}" for title in SECTIONS if bodies.get(title))


def _views(projections: Path) -> dict[str, str]:
    """View by the number of a picture: `1_IM-0001-3001` of `1_IM-0001-3001.dcm.png`."""
    rows = read_table(projections, PROJECTIONS)
    filename, projection = find_column(rows, ("filename",)), find_column(rows, ("projection",))
    if filename is None or projection is None:
        raise InputError(f"{projections} has no columns filename and projection: fetch it again, or remove it")
    # "Frontal" does not tell PA from AP.
    return {_number(row[filename].split(".")[0]): normalise_view(row[projection]) for row in rows}


def _number(stem: str) -> str:
    """`CXR1_1_IM-0001-3001` and `1_IM-0001-3001` to the latter."""
    return re.sub(r"^CXR\d+_(?=\d+_)|^CXR", "", stem)
