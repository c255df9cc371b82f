"""Real data that comes with scikit-learn: nothing is downloaded."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

HELD_OUT = 500


@dataclass(frozen=True)
class Digits:
    """Images of handwritten digits, split into those to train on and those held out.

    Args:
        images: float32 (1297, 8, 8), from 0 (paper) to 1 (ink).
        labels: int64 (1297,), the digits 0 to 9.
        held_out_images: float32 (500, 8, 8).
        held_out_labels: int64 (500,).
    """

    images: torch.Tensor
    labels: torch.Tensor
    held_out_images: torch.Tensor
    held_out_labels: torch.Tensor


def digits(seed: int = 0) -> Digits:
    """Load scikit-learn's digits, the test set of Alpaydin and Kaynak (1998), and split them.

    Args:
        seed: of the split.
    """
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    shuffled = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 8, 8)[order]
    targets = torch.tensor(labels)[order]
    return Digits(shuffled[HELD_OUT:], targets[HELD_OUT:], shuffled[:HELD_OUT], targets[:HELD_OUT])
