"""What a run directory tells, and what it must not."""

import json

from cxrpt.config import load_config
from cxrpt.rundir import changed_settings, write_run_files

SECRET = "hush-7391"


def test_credentials_of_sources_stay_in_a_file_of_the_owner(tmp_path):
    urls = [
        f"https://ward:{SECRET}@host/north",
        f"https://host/south?sig={SECRET}",
        f"pipe:curl -H key:{SECRET} https://host/{{}}",
    ]
    words = [f"data.sources.s{number}.path={url}" for number, url in enumerate(urls)]
    config = load_config(None, ["name=r", f"runs={tmp_path}", *words])
    (tmp_path / "r").mkdir()
    for _ in range(2):
        (tmp_path / "r" / "config.yaml.tmp").write_text("of a process that was killed")
        write_run_files(config, "0123", [])
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert holders == [tmp_path / "r" / "config.yaml"] and holders[0].stat().st_mode & 0o777 == 0o600
    assert load_config(holders[0]).data.sources["s1"].path == urls[1], "ranks read it there"
    tracked = next(path for path in (tmp_path / "r").glob("*.json") if "params" in path.read_text())
    assert json.loads(tracked.read_text())["params"]["data.sources.s1.path"] == "https://host/south?***"


def test_others_may_read_what_holds_no_secret(tmp_path):
    config = load_config(None, ["name=r", f"runs={tmp_path}", "data.sources.a.path=shards/a", "data.sources.b.path=s3://b/c"])
    write_run_files(config, "0123", [])
    assert (tmp_path / "r" / "config.yaml").stat().st_mode & 0o044


def test_what_changed_since_the_last_start_is_told_but_for_addresses(tmp_path):
    source = "data.sources.a.path=https://host/a?sig="
    first = load_config(None, ["name=r", f"runs={tmp_path}", f"{source}{SECRET}1"])
    assert changed_settings(first) == []
    write_run_files(first, "0123", [])
    assert changed_settings(first) == []
    words = [f"{source}{SECRET}2", "optim.lr=1e-3", "train.steps=7", "track.uri=none"]
    second = load_config(None, ["name=r", f"runs={tmp_path}", *words])
    assert changed_settings(second) == ["optim.lr 0.0005 -> 0.001", "train.steps 10000 -> 7"]
    (tmp_path / "r" / "config.yaml").write_text("optim: {lr: high}")
    assert changed_settings(second) == ["config.yaml of the last start cannot be read"]
