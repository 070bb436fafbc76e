import shutil
import tarfile

import numpy as np

from cxrpt.eval.probed_pairs import read_pairs
from cxrpt.eval.samples import SplitFolder


def test_bad_pairs_are_counted_and_left_out(shards, exported, tmp_path):
    shutil.copytree(shards / "north" / "test", tmp_path / "test")
    tar = next((tmp_path / "test").glob("*.tar"))
    whole, bad = read_pairs(exported, [SplitFolder("north", (tar,))], 100)
    assert len(whole) == 20 and not bad and {pair.image.shape for pair in whole} == {(64, 64)}
    with tarfile.open(tar) as opened:
        image = next(member for member in opened if member.name.endswith(".jpg"))
    with tar.open("r+b") as file:
        file.seek(image.offset_data + 30)
        file.write(b"spoiled")
    rest, bad = read_pairs(exported, [SplitFolder("north", (tar,))], 100)
    assert bad == {"north": 1} and len(rest) == 19
    assert [pair.identity for pair in rest] == [pair.identity for pair in whole[1:]]
    np.testing.assert_array_equal(rest[0].report.tokens, whole[1].report.tokens)
    few, _ = read_pairs(exported, [SplitFolder("north", (tar,))], 5)
    assert 4 <= len(few) <= 5 and {pair.identity for pair in few} < {pair.identity for pair in rest}
