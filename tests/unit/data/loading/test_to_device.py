import itertools

import torch

from cxrpt.data.loading.to_device import on_device


def test_on_the_cpu_batches_pass_as_they_are_and_none_is_taken_ahead():
    taken = []

    def batches():
        for number in itertools.count():
            taken.append(number)
            yield number

    stream = on_device(batches(), torch.device("cpu"))
    assert [next(stream), next(stream)] == [0, 1] and taken == [0, 1]
