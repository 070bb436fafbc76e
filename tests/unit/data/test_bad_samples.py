"""What takes the place of a bad sample."""

from cxrpt.data.bad_samples import substitutes


def test_substitutes_are_others_of_the_shard_and_each_comes_once():
    for count in (2, 3, 17, 40):
        for sample in range(count):
            for epoch in range(3):
                tried = substitutes(7, 1234, epoch, 5, sample, count, 16)
                assert len(tried) == min(16, count - 1) == len(set(tried))
                assert sample not in tried and all(0 <= other < count for other in tried)
    assert substitutes(7, 1234, 0, 5, 0, 1, 16) == []


def test_substitutes_differ_by_all_that_names_the_sample():
    places = [(7, 1234, 0, 5, 8), (8, 1234, 0, 5, 8), (7, 4321, 0, 5, 8), (7, 1234, 1, 5, 8), (7, 1234, 0, 6, 8)]
    assert len({tuple(substitutes(*place, 1000, 16)) for place in places}) == len(places)
    assert substitutes(*places[0], 1000, 16) == substitutes(*places[0], 1000, 16)
    assert len({substitutes(7, 1234, 0, 5, sample, 1000, 1)[0] for sample in range(200)}) > 150
