"""What counts as not finite."""

import pytest
import torch

from fidip.training.finite import NotFiniteError, checked, require_finite, require_usable

BAD = [float("nan"), float("inf"), -float("inf")]


def test_a_finite_loss_is_its_number() -> None:
    assert checked(torch.tensor(0.25, requires_grad=True), "a loss") == 0.25


@pytest.mark.parametrize("value", BAD)
def test_a_loss_that_is_not_finite_is_named(value) -> None:
    with pytest.raises(NotFiniteError, match=f"^the pose loss is {value}$"):
        checked(torch.tensor(value), "the pose loss")


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("place", range(5))
def test_one_number_among_many_is_found(value, place) -> None:
    tensors = [torch.randn(3, 4), torch.randn(7).double(), torch.randn(2, 2, 2)]
    huge = [torch.tensor([3e38, -3e38])]
    require_finite({"these are": tensors, "huge ones are": huge, "none are": []})
    whole = torch.cat([tensor.flatten().double() for tensor in tensors])
    number = [0, 11, 12, 18, 26][place]  # first and last of each
    for tensor in tensors:
        if number < tensor.numel():
            tensor.view(-1)[number] = value
            break
        number -= tensor.numel()
    assert len(whole) == 27
    with pytest.raises(NotFiniteError, match=r"^the features are not finite$"):
        require_finite({"huge ones are": huge, "the features are": tensors, "these are": tensors})


def test_a_gradient_whose_square_overflows_is_refused() -> None:
    """Adam keeps the square: an infinity there stays for ever, and no loss ever shows it."""
    require_usable([torch.full((4,), 1e15), torch.zeros(2)])
    for value in (*BAD, 1e20):
        with pytest.raises(NotFiniteError, match=r"the norm of the gradient is (nan|inf)"):
            require_usable([torch.zeros(2), torch.tensor([value])])
