"""A build whose shares were done by others, in any order and not all of them, ends in the same bytes."""

import made_exports as made
import pytest
from made_exports import tree

from cxrpt.errors import InputError
from data_prep.build.build_folder import WORK, locked
from data_prep.build.run import build, convert_share


@pytest.fixture
def settings(tmp_path):
    src = made.hospital(tmp_path / "src", 12)
    key = tmp_path / "given.key"
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)

    def of(out: str):
        return made.settings(src, tmp_path / out, key_file=key, shard_samples=3, processes=1)

    return of


def test_the_bytes_are_those_of_one_machine(settings):
    build(settings("alone"))
    shared = settings("shared")
    assert convert_share(shared, 0, 0) == 0, "it only looked"
    done = [convert_share(shared, share, 3) for share in (2, 0)]
    assert all(done) and convert_share(shared, 2, 3) == done[0], "finished parts are counted, and taken as they are"
    build(shared)
    assert tree(shared.folder) == tree(settings("alone").folder)
    assert not shared.scan_folder.exists() and not (shared.folder / WORK).exists()
    assert convert_share(shared, 1, 3) == 0, "the build is complete"


def test_a_build_waits_for_nobody_who_does_a_share(settings):
    one = settings("one")
    convert_share(one, 0, 0)
    with locked(one.folder / WORK, shared=True):
        convert_share(one, 0, 2)
        with pytest.raises(InputError, match="another build is at work"):
            build(one)
    build(one)
