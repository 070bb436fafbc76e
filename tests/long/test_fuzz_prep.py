"""Thousands of damaged files in one build: it ends, in bounded time and memory, and the ledger has a line for each."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from data_prep.checks.verify import verify_shards
from data_prep.privacy.pseudonyms import Pseudonyms, read_or_make_key
from tests.long.mutations import mutate
from tests.unit.data_prep import made_exports as made
from tests.unit.data_prep import made_reports as reports

pytestmark = pytest.mark.long

FILES = 5000
SECONDS = 1200
"""A hang, not a measurement: far above what the slowest machine takes."""
WORKER_MIB = 1100


def build_watched(words: list[str]) -> tuple[subprocess.CompletedProcess, float]:
    """Run `cxrpt prep`; its result, and the largest resident memory of a process below it, MiB."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "launch.cli", "prep", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            try:
                for child in psutil.Process(process.pid).children(recursive=True):
                    peak = max(peak, child.memory_info().rss)
            except psutil.Error:
                continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"the build hangs: it has not ended after {time.monotonic() - began:.0f} s")
    finally:
        over.set()
        watcher.join()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err), peak / 2**20


def seeds_of_pictures(folder: Path) -> list[bytes]:
    """Small chests in the syntaxes that archives use, and an odd header or two."""
    made.dicom(folder / "explicit", 1, canaries=True)
    made.dicom(folder / "big", 2, big=True, PhotometricInterpretation="MONOCHROME1")
    made.dicom(folder / "window", 3, WindowCenter=[2048, 40], WindowWidth=[4096, 400], RescaleSlope=2, RescaleIntercept=-1024)
    made.dicom(folder / "signed", 4, pixels=made.phantom(4).astype(np.int16), BitsStored=16, PresentationLUTShape="INVERSE")
    made.dicom(folder / "eight", 5, pixels=(made.phantom(5) >> 4).astype(np.uint8), BitsStored=8)
    for number, syntax in enumerate((RLELossless, JPEG2000Lossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian), 10):
        dataset = made.dicom(folder / f"plain{number}", number)
        if syntax == DeflatedExplicitVRLittleEndian:
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            plugin = {JPEGLSLossless: "pyjpegls"}.get(syntax, "pylibjpeg")
            dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        pydicom.dcmwrite(folder / f"packed{number}", dataset, enforce_file_format=True)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def seeds_of_reports(folder: Path) -> list[tuple[str, bytes]]:
    """Ending and content of a report in every form that a folder of reports may hold."""
    findings = "FINDINGS: The lungs are clear. No effusion.\n\nIMPRESSION: Normal chest, seen by Dr. Smith on 3/4/2020.\n"
    message, cda = reports.message(), reports.cda()
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + cda.split("?>", 1)[-1]
    rows = 'accession_number,report,patient_id\r\nACC1,"FINDINGS: Clear.\r\nNormal.",P1\r\nACC2,Normal chest.,P2\r\n'
    objects = json.dumps([{"accession": "ACC1", "report": findings, "patient": {"id": "P1"}}])
    reports.document(folder / "sr.dcm", content=reports.FINDINGS_AND_IMPRESSION)
    return [
        ("txt", findings.encode()),
        ("txt", findings.encode("utf-16")),
        ("txt", "BEFUND: Lunge frei, Größe normal.".encode("cp1252")),
        ("hl7", message.encode()),
        ("hl7", (b"\x0b" + message.encode() + b"\x1c\r") * 3),
        ("xml", cda.encode()),
        ("xml", bomb.encode()),
        ("xml", b"<a>" * 20_000 + b"deep" + b"</a>" * 20_000),
        ("csv", rows.encode()),
        ("json", objects.encode()),
        ("jsonl", objects[1:-1].encode() + b"\n" + objects[1:-1].encode()),
        ("pdf", reports.pdf(findings.splitlines())),
        ("dcm", (folder / "sr.dcm").read_bytes()),
    ]


def check_accounts(out: Path, institution: str, key: Path, input_ids: set[str]) -> dict[str, int]:
    """Every input stands in the ledger once, and the sums are right; returns how often each reason came."""
    pseudonyms = Pseudonyms(institution, read_or_make_key(key))
    lines = [json.loads(line) for line in (out / institution / "ledger.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["input"] for line in lines}), "an input has two lines"
    missing = {pseudonyms.of("input", input_id) for input_id in input_ids} - {line["input"] for line in lines}
    assert not missing, f"{len(missing)} inputs have vanished"
    built = json.loads((out / institution / "build.json").read_text())
    assert built["kept"] + built["excluded"] + built["failed"] == built["found"] == len(lines)
    assert [check.problem for check in verify_shards(out) if check.problem] == []
    return built["reasons"]


def test_damaged_dicom_files(tmp_path, record_property):
    generator = np.random.default_rng(2103)
    seeds = seeds_of_pictures(tmp_path / "seeds")
    export = tmp_path / "export"
    names = set()
    for number in range(FILES):
        path = export / f"{number % 50:02d}" / f"{number:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(seeds[number % len(seeds)], seeds, generator))
        names.add(str(path.relative_to(export)))
    words = ["hospital", str(export), "--out", str(tmp_path / "out"), "--institution", "north", "--key", str(tmp_path / "key")]
    done, peak = build_watched([*words, "--max-failed", "1", "--processes", "2", "--file-seconds", "10"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert made.CANARY not in done.stdout + done.stderr
    reasons = check_accounts(tmp_path / "out", "north", tmp_path / "key", names)
    assert "unexpected" not in reasons, "an exception that nobody foresaw: see `where` in the ledger"
    assert peak < WORKER_MIB
    record_property("reasons", str(reasons))
    record_property("peak_mib", round(peak))


def test_damaged_reports_messages_and_documents(tmp_path, record_property):
    generator = np.random.default_rng(16022)
    (tmp_path / "seeds").mkdir()
    seeds = seeds_of_reports(tmp_path / "seeds")
    contents = [content for _, content in seeds]
    export = tmp_path / "export"
    made.dicom(export / "a.dcm", 1, AccessionNumber="ACC1", PatientID="P1")
    (export / "reports").mkdir()
    names = set()
    for number in range(FILES // 2):
        ending, content = seeds[number % len(seeds)]
        name = f"{number:05d}.{ending}"
        (export / "reports" / name).write_bytes(mutate(content, contents, generator))
        names.add(name)
    words = ["hospital", str(export), "--out", str(tmp_path / "out"), "--institution", "north", "--key", str(tmp_path / "key")]
    done, peak = build_watched([*words, "--max-failed", "1", "--processes", "2", "--file-seconds", "10"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    reasons = check_accounts(tmp_path / "out", "north", tmp_path / "key", set())
    told = [json.loads(line)["input"] for line in (tmp_path / "out.north.paths.jsonl").read_text().splitlines()]
    files = {name.split("//")[1] for name in told if name.startswith("report//")}
    assert files == names, "every file is there, whether one report is in it or many or none"
    assert "unexpected" not in reasons and peak < WORKER_MIB
    record_property("reasons", str(reasons))


def test_damaged_openi_reports(tmp_path, record_property):
    generator = np.random.default_rng(14)
    one = (
        b'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR1"/><MedlineCitation><Article><Abstract>'
        b'<AbstractText Label="FINDINGS">The lungs are clear &amp;gt; before.</AbstractText>'
        b'<AbstractText Label="IMPRESSION">Normal.</AbstractText></Abstract></Article></MedlineCitation>'
        b'<MeSH><major>normal</major></MeSH><parentImage id="CXR1_1_IM-0001-3001"/></eCitation>'
    )
    export = tmp_path / "export" / "ecgen-radiology"
    export.mkdir(parents=True)
    for number in range(FILES // 2):
        (export / f"{number}.xml").write_bytes(mutate(one.replace(b"CXR1", b"CXR%d" % number), [one], generator))
    words = ["openi", str(tmp_path / "export"), "--out", str(tmp_path / "out"), "--key", str(tmp_path / "key")]
    done, peak = build_watched([*words, "--max-failed", "1", "--processes", "2", "--file-seconds", "10"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    reasons = check_accounts(tmp_path / "out", "openi", tmp_path / "key", set())
    built = json.loads((tmp_path / "out" / "openi" / "build.json").read_text())
    assert built["by_type"]["report"] and sum(built["by_type"]["report"].values()) == FILES // 2
    assert peak < WORKER_MIB
    record_property("reasons", str(reasons))
