"""The headers of DICOM files: which are radiographs to try, which are reports, and what they say of study and patient.

file ─ header ─► LooseImage | LooseReport (SR, encapsulated PDF and CDA) | SetAside with its reason
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.files.cells import years_of
from data_prep.files.export_files import reason_against_path
from data_prep.inputs import ImageInput, SetAside, sex_as_allowed, years_as_allowed
from data_prep.ledger import FAILURES, Reason
from data_prep.loose import LooseImage, LooseReport
from data_prep.pictures.chest import judge_header
from data_prep.pictures.dicom_file import libraries_silenced
from data_prep.pictures.elements import text
from data_prep.pictures.read_dicom import check_size, read_header
from data_prep.pictures.refused import Refused
from data_prep.pictures.views import header_view
from data_prep.privacy.identifiers import header_identifiers, parse_date
from data_prep.processes.scan import Reading, scan_files
from data_prep.processes.workers import item_limits
from data_prep.reports.found_report import years_between
from data_prep.reports.hospital_reports import loose
from data_prep.reports.read_sr import holds_report, read_report_object

SCAN_CHUNK = 256
Scanned = LooseImage | LooseReport | SetAside


def scan_data_set(items: Sequence[tuple[str, Path]], reading: Reading) -> tuple[dict[str, LooseImage], list[SetAside]]:
    """Images of a public data set by input id, and the files that no pixel need be looked at of; `items`: input id, path.

    Such a set is taken at its word that it holds chests, so that only a tag which says otherwise sets a file aside.
    """
    images: dict[str, LooseImage] = {}
    set_aside: list[SetAside] = []
    scan = partial(scan_headers, seconds=reading.file_seconds, all_chest=True)
    for _, scanned in scan_files(scan, items, "headers", reading, SCAN_CHUNK, lambda item: item[0]):
        for one in scanned:
            if isinstance(one, LooseImage) and one.refused is None:
                images[one.image.input_id] = one
            elif isinstance(one, LooseReport):
                # A data set's reports come from its own files.
                set_aside.append(SetAside(one.report.input_id, "dicom", Reason.NO_PIXELS))
            else:
                set_aside.append(one if isinstance(one, SetAside) else refused_image(one))
    return images, sorted(set_aside, key=lambda one: one.input_id)


def choose_files(
    copies: Mapping[str, Sequence[tuple[str, Path]]], reading: Reading
) -> tuple[dict[str, tuple[str, Path]], dict[str, LooseImage], list[SetAside]]:
    """One file a picture of a public data set, out of copies that are told best first as (input id, path).

    A picture file takes the place of a DICOM file whose header cannot be read, not of one that says it is no chest.

    Returns:
        The file by picture, headers by input id (a DICOM file without one is not to be tried), and what was set aside.
    """

    def is_dicom(file: tuple[str, Path]) -> bool:
        return file[1].suffix.lower() == ".dcm"

    headers, set_aside = scan_data_set([files[0] for files in copies.values() if is_dicom(files[0])], reading)
    failed = {one.input_id for one in set_aside if one.reason in FAILURES}
    chosen: dict[str, tuple[str, Path]] = {}
    for name, (first, *others) in copies.items():
        instead = (other for other in others if not is_dicom(other))
        chosen[name] = next(instead, first) if first[0] in failed else first
        spare = [other for other in others if other != chosen[name]]
        set_aside += [SetAside(other[0], "dicom" if is_dicom(other) else "picture", Reason.DUPLICATE) for other in spare]
    return chosen, headers, set_aside


def refused_image(image: LooseImage) -> SetAside:
    """The picture of a file of which the header alone counts."""
    assert image.refused is not None
    return SetAside(image.image.input_id, "dicom", image.refused)


def scan_headers(
    items: Sequence[str | tuple[str, Path]],
    spoiled: Mapping[int, Reason],
    seconds: float,
    all_chest: bool,
    root: Path = Path(),
) -> list[Scanned]:
    """Read the headers of files; every one ends as an image, to try or refused, as a report, or as set aside.

    An item is a name below `root`, which is also its input id, or an input id and a path. With `all_chest`, a file whose
    header does not say what it shows is taken for a chest.
    """
    scanned: list[Scanned] = []
    for place, item in enumerate(items):
        input_id, path = (item, None) if isinstance(item, str) else item
        if place in spoiled:
            scanned.append(SetAside(input_id, "dicom", spoiled[place]))
            continue
        try:
            with item_limits(seconds):
                scanned.append(_scan(input_id, path or root, path is None, all_chest))
        except Refused as refused:
            scanned.append(SetAside(input_id, "dicom", refused.reason))
        except MemoryError:
            scanned.append(SetAside(input_id, "dicom", Reason.TOO_MUCH_MEMORY))
        except Exception:
            # Whatever a hostile header makes of pydicom's lazy values; the message may quote it.
            scanned.append(SetAside(input_id, "dicom", Reason.BROKEN_HEADER))
    return scanned


def _scan(input_id: str, place: Path, is_below: bool, all_chest: bool) -> Scanned:
    path = place / input_id if is_below else place
    if reason := reason_against_path(path):
        raise Refused(reason)
    header = read_header(path)
    with libraries_silenced():
        if holds_report(header):
            return _scan_report(input_id, header)
        verdict = judge_header(header)
        refused = verdict.reason or _too_large(header)
        image = ImageInput(
            input_id=input_id,
            place=place,
            type="dicom",
            image_id=_exact(header, "SOPInstanceUID") or f"file {input_id}",
            view="UNKNOWN" if refused else header_view(header),
            by_content=verdict.by_content and not all_chest,
            is_below=is_below,
        )
        try:
            return _of_study(header, image, refused)
        except Exception:
            if refused is None:
                raise
            return SetAside(input_id, "dicom", refused)


def _too_large(header: Dataset) -> Reason | None:
    try:
        check_size(header)
    except Refused as refused:
        return refused.reason
    return None


def _of_study(header: Dataset, image: ImageInput, refused: Reason | None) -> LooseImage:
    """What a header says of study and patient, whether or not its picture is to be tried."""
    date = parse_date(_exact(header, "StudyDate"))
    return LooseImage(
        image=image,
        patient=_exact(header, "PatientID"),
        study_uid=_exact(header, "StudyInstanceUID"),
        accession=_exact(header, "AccessionNumber"),
        date=date,
        age=years_as_allowed(header_age(header, date)),
        sex=sex_as_allowed(text(header, "PatientSex")),
        identifiers=header_identifiers(header),
        refused=refused,
    )


def _scan_report(input_id: str, header: Dataset) -> LooseReport | SetAside:
    """A document among the images; its age comes from the header as that of an image does."""
    try:
        report = loose(input_id, read_report_object(header))
    except Refused as refused:
        return SetAside(input_id, "report", refused.reason)
    except Exception:
        # As for headers: the message may quote the document.
        return SetAside(input_id, "report", Reason.BROKEN_REPORT)
    if isinstance(report, SetAside):
        return report
    return replace(report, age=years_as_allowed(header_age(header, report.date)))


def _exact(header: Dataset, keyword: str) -> str:
    """An element's own text, blanks around it aside."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def header_age(header: Dataset, study_date: datetime.date | None) -> int | None:
    """Whole years from PatientAge (`045Y`, `006M`), else from birth and study date."""
    written = text(header, "PatientAge")
    # Without its unit it may be of anything.
    years = years_of(written) if written[-1:].isalpha() else None
    return years if years is not None else years_between(parse_date(_exact(header, "PatientBirthDate")), study_date)
