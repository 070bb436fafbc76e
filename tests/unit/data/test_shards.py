import numpy as np
import pytest

from cxrpt.data.manifest import read_manifest
from cxrpt.data.sample import Kind
from cxrpt.data.shards import BadSampleError, ShardReader, index_path
from cxrpt.data.transforms import decode_gray
from cxrpt.errors import InputError

from ...made_shards import make_shards


@pytest.fixture
def shard(tmp_path):
    make_shards(tmp_path, "north", Kind.PAIR, 40)
    return tmp_path / "north" / "train" / "north-train-000000.tar"


def test_any_sample_by_its_number(shard):
    reader = ShardReader(shard)
    assert len(reader) == 40
    raw = reader.read(17)
    assert raw.kind == Kind.PAIR and decode_gray(raw.image).shape == (96, 96)
    start, end = raw.meta.sections["FINDINGS"]
    assert raw.text[start:end].startswith("There is")
    assert ("the right side" in raw.text) == bool(raw.meta.labels["right"])


def test_what_is_known_of_a_sample_needs_neither_picture_nor_text(shard):
    expected = [ShardReader(shard).read(number).meta for number in range(40)]
    record = np.load(index_path(shard))[5]
    data = bytearray(shard.read_bytes())
    for member in ("image", "text"):
        data[record[member]["offset"] + 10] ^= 1
    shard.write_bytes(data)
    reader = ShardReader(shard)
    assert [reader.read_meta(number) for number in range(40)] == expected
    data[record["meta"]["offset"] + 10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BadSampleError, match="checksum"):
        reader.read_meta(5)


def test_use_leaves_the_other_half_of_a_pair_out(shard):
    assert ShardReader(shard, "images").read(3).text is None
    assert ShardReader(shard, "texts").read(3).image is None
    assert ShardReader(shard, "images").read(3).kind == Kind.IMAGE


def test_numbers_count_what_use_admits(shard):
    index = np.load(index_path(shard))
    index["kind"][::3] = Kind.IMAGE
    index["text"]["size"][::3] = 0
    np.save(index_path(shard), index)
    for use, admitted in (("pairs", index[index["kind"] == Kind.PAIR]), ("images", index)):
        reader = ShardReader(shard, use)
        assert len(reader) == len(admitted)
        assert [reader.read(n).key for n in range(len(reader))] == [key.decode() for key in admitted["key"]]
        for outside in (-1, len(admitted)):
            with pytest.raises(IndexError):
                reader.read(outside)


def test_a_flipped_byte_is_found(shard):
    offset = int(np.load(index_path(shard))[5]["image"]["offset"]) + 10
    data = bytearray(shard.read_bytes())
    data[offset] ^= 1
    shard.write_bytes(data)
    reader = ShardReader(shard)
    reader.read(4)
    with pytest.raises(BadSampleError, match="checksum"):
        reader.read(5)


def test_truncated_missing_and_foreign_files_are_one_line(shard):
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"north-train-000000\.tar is truncated"):
        ShardReader(shard)
    shard.unlink()
    with pytest.raises(InputError, match="missing"):
        ShardReader(shard)
    shard.write_bytes(whole)
    index_path(shard).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a shard index"):
        ShardReader(shard)


def test_manifest_counts_and_fingerprint(tmp_path):
    make_shards(tmp_path, "a", Kind.PAIR, 80)
    make_shards(tmp_path, "b", Kind.TEXT, 80)
    pairs, texts = read_manifest(tmp_path / "a" / "train"), read_manifest(tmp_path / "b" / "train")
    assert (pairs.count("all"), pairs.count("texts"), texts.count("images"), texts.count("texts")) == (80, 80, 0, 80)
    assert pairs.fingerprint() != texts.fingerprint()
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        read_manifest(tmp_path / "nowhere")
    (tmp_path / "a" / "train" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not a shard manifest"):
        read_manifest(tmp_path / "a" / "train")
