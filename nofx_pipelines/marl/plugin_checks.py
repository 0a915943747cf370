"""What a plug-in of this package returns, checked where it comes in and refused by the plug-in's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nofx_pipelines.plugins import Reference

FLOATS = (torch.float32, torch.float64)


def require_protocol(reference: Reference, member: object, methods: Sequence[str]) -> None:
    """Refuse a member that is a class, lacks one of ``methods``, or has no name."""
    reference.require(member, *methods)
    name = reference.read(member, "name", None)
    if not isinstance(name, str) or not name:
        raise reference.refuse(f"has the name {name!r}; a name is a text")


def require_tensor(
    reference: Reference,
    what: str,
    value: Any,
    shape: tuple[int | None, ...],
    dtypes: Sequence[torch.dtype] = FLOATS,
    *,
    nan: bool = False,
    device: torch.device | None = None,
) -> Tensor:
    """The value, if it is the tensor that was asked for.

    Parameters
    ----------
    reference:
        The plug-in that returned it.
    what:
        How a message names the value: ``"the reward"``.
    value:
        Whatever was returned.
    shape:
        Its sizes; None: any size but 0.
    dtypes:
        The types allowed. Float64 among them: floats are brought to it.
    nan:
        Whether NaN has a meaning there; infinities never have.
    device:
        Where it is; None: anywhere.

    Raises
    ------
    PluginError
        For another type, shape, dtype or device, or a value that is not finite.
    """
    if not isinstance(value, Tensor):
        raise reference.refuse(f"returns {type(value).__name__} as {what}, not a tensor")
    fits = len(value.shape) == len(shape) and all(
        size > 0 if asked is None else size == asked for size, asked in zip(value.shape, shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if asked is None else str(asked) for asked in shape)
        raise reference.refuse(f"returns {what} of shape {list(value.shape)}, not [{sizes}]")
    if value.dtype not in dtypes:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise reference.refuse(f"returns {what} as {str(value.dtype).removeprefix('torch.')}, not {names}")
    if device is not None and value.device != device:
        raise reference.refuse(f"returns {what} on {value.device}, not on {device} where its input is")
    if value.is_floating_point():
        wrong = value.isinf() if nan else ~value.isfinite()
        if bool(wrong.any()):
            place = wrong.nonzero()[0].tolist()
            raise reference.refuse(f"returns {what} with {float(value[tuple(place)])} at {place}")
        if torch.float64 in dtypes:
            return value.to(torch.float64)
    return value
