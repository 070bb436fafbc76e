import hashlib
import itertools
import zlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from cxrpt.checkpoint.shards import KINDS, SHARDS, Piece, ShardBuffer, ShardReader, layout_of, shard_name, write_index
from cxrpt.errors import InputError

SHAPES = {"block.weight": (5, 7), "norm": (3,), "scale": ()}


def whole(name, kind):
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {kind}".encode()))
    return torch.randn(max(1, torch.Size(SHAPES[name]).numel()), generator=generator)


def cut(ranks, ends):
    """Pieces of each rank; `ends` are where each parameter is cut, as shares of its length."""
    pieces = [[] for _ in range(ranks)]
    for name, shape in SHAPES.items():
        length = whole(name, "weight").numel()
        cuts = [0, *sorted(round(end * length) for end in ends[: ranks - 1]), length]
        for rank, (start, stop) in enumerate(itertools.pairwise(cuts)):
            if stop > start:
                pieces[rank].append(Piece(name, shape, start, tuple(whole(name, kind)[start:stop].clone() for kind in KINDS)))
    return pieces


def write(folder, pieces):
    (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    sealed = []
    for rank, mine in enumerate(pieces):
        buffer = ShardBuffer(mine)
        buffer.copy(mine)
        sealed.append(buffer.write(folder / shard_name(rank)))
    write_index(folder, [layout_of(mine) for mine in pieces])
    return sealed


shares = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@given(before=st.integers(1, 4), after=st.integers(1, 4), cuts=shares, other_cuts=shares)
def test_what_some_ranks_wrote_any_ranks_read_bit_for_bit(tmp_path_factory, before, after, cuts, other_cuts):
    folder = tmp_path_factory.mktemp("c")
    write(folder, cut(before, cuts))
    wanted = cut(after, other_cuts)
    for mine in wanted:
        blank = [Piece(p.name, p.shape, p.start, tuple(torch.full_like(t, torch.nan) for t in p.tensors)) for p in mine]
        ShardReader(folder).load(blank)
        for read, piece in zip(blank, mine, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(read.tensors, piece.tensors, strict=True))


def test_the_file_is_safetensors_and_sealed_by_what_lies_on_disk(tmp_path):
    (sealed,) = write(tmp_path, cut(1, [0.5] * 4))
    path = tmp_path / shard_name(0)
    assert sealed == {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    read = load_file(path)
    assert read.keys() == {f"{kind}/{name}" for kind in KINDS for name in SHAPES}
    assert torch.equal(read["exp_avg/norm"], whole("norm", "exp_avg"))


def test_a_copy_does_not_follow_what_training_does_next(tmp_path):
    (tmp_path / SHARDS).mkdir()
    (mine,) = cut(1, [])
    buffer = ShardBuffer(mine)
    buffer.copy(mine)
    for piece in mine:
        piece.tensors[0].zero_()
    buffer.write(tmp_path / shard_name(0))
    assert torch.equal(load_file(tmp_path / shard_name(0))["weight/norm"], whole("norm", "weight"))
    with pytest.raises(FileExistsError):  # a rank that an earlier attempt left behind must not write over it
        buffer.write(tmp_path / shard_name(0))


def test_the_whole_model_is_put_together_in_its_shapes(tmp_path):
    write(tmp_path, cut(3, [0.2, 0.7, 1, 1]))
    weights = ShardReader(tmp_path).weights(torch.bfloat16)
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == SHAPES
    assert torch.equal(weights["block.weight"].flatten(), whole("block.weight", "weight").bfloat16())


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no shards/index\.json"):
        ShardReader(tmp_path)
    pieces = cut(2, [0.5] * 4)
    write(tmp_path, [pieces[0], []])
    with pytest.raises(InputError, match=r"holds 18 of 35 values of weight of block\.weight"):
        ShardReader(tmp_path).weights()
