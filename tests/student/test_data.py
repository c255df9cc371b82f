"""The digits are split the same way each time, and no image is on both sides."""

import torch

from course.student.data import digits


def test_digits_are_images_between_0_and_1_with_ten_labels() -> None:
    data = digits()
    assert data.images.shape == (1297, 8, 8)
    assert data.held_out_images.shape == (500, 8, 8)
    assert (data.images.min(), data.images.max()) == (0, 1)
    assert set(data.held_out_labels.tolist()) == set(range(10))


def test_the_split_depends_on_the_seed_and_loses_nothing() -> None:
    one, again, other = digits(), digits(), digits(1)
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, other.images)
    for data in (one, other):
        both = torch.cat([data.images, data.held_out_images]).flatten(1)
        assert both.sum(dtype=torch.float64) == one.images.sum(dtype=torch.float64) + (
            one.held_out_images.sum(dtype=torch.float64)
        )
        labels = torch.cat([data.labels, data.held_out_labels])
        assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
