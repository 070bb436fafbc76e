"""What a run says of bad samples."""

from collections import Counter

from cxrpt.bad_data import BadData, replaced_line, stop_line, too_many, worth_a_line
from cxrpt.data.bad_samples import BadSample


class Reports:
    """As much of a batch as is looked at."""

    def __init__(self, *bad):
        self.bad = bad


def bad(shard, source=1):
    return BadSample(source, f"north-train-{shard:06d}.tar", "3fa9", "member 'image' does not match its checksum")


def test_a_line_at_the_first_and_then_at_doublings():
    said = [now for now in range(1, 101) if worth_a_line(now - 1, now)]
    assert said == [1, 2, 4, 8, 16, 32, 64]
    assert worth_a_line(3, 9) and not worth_a_line(4, 7) and not worth_a_line(4, 4)


def test_a_few_never_stop_a_run():
    assert not too_many(10, 10, 0.01) and too_many(11, 11, 0.01)
    assert not too_many(20, 2000, 0.01) and too_many(21, 2000, 0.01)


def test_lines_name_source_counts_shards_and_the_mend(caplog):
    ranks = [BadData(["south", "north"]) for _ in range(3)]
    with caplog.at_level("WARNING"):
        ranks[1].see([Reports(bad(3), bad(4)), Reports(), Reports(bad(3), bad(9, source=0))])
        ranks[2].see([Reports(bad(4), bad(3))])
    assert len(caplog.records) == 6 and "bad sample of source north: north-train-000003.tar, 3fa9: member" in caplog.text
    assert ranks[1].by_shard[1] == Counter({"north-train-000003.tar": 2, "north-train-000004.tar": 1})
    line = replaced_line(ranks, 1, "north", "/shards/north", 4, 1234)
    assert line == (
        "source north: 4 of 1,234 samples are bad and were replaced (last: north-train-000003.tar, 3fa9: member 'image' does "
        "not match its checksum); run `cxrpt verify /shards/north`"
    )
    stop = stop_line(ranks, 1, "north", "/shards/north", 41, 1234, 0.01, 300)
    assert "41 of 1,234 samples are bad, more than data.max_bad_fraction=0.01" in stop
    assert "3 in north-train-000003.tar, 2 in north-train-000004.tar; last" in stop and "up to step 300 is saved" in stop
    assert len(stop.splitlines()) == len(line.splitlines()) == 1
