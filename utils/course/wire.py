"""What crosses between the checks and the learner's code: plain data, as JSON plus one safetensors block.

The same bytes are used whether the learner's code runs in this process or in another, so a check means the
same in both, and a recorded call can be replayed later exactly as it was made.

Plain data: None, bool, int, float, str, bytes, list, tuple, dict, set, torch tensors and dtypes, numpy arrays and
scalars, and torch generators (their state). Anything else is offered to `export`, which turns it into a tag
(a model's name, a callback's number, a handle) or refuses with TypeError.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.torch
import torch

from utils.course.frames import PAYLOAD_LIMIT

Export = Callable[[object], dict]
Restore = Callable[[dict], object]

LENGTH_BYTES = 8
# What decoding makes of a hostile message must fit in memory: a list of empty lists takes three bytes an item here, and
# a hundred as objects.
HEADER_LIMIT = 2 << 20


class Unsendable(TypeError):
    """A value that `encode` cannot turn into a message."""


class MalformedMessage(ValueError):
    """Bytes that `decode` cannot read: only a broken or hostile sender makes them."""


def refuse(value: object) -> dict:
    """The default `export`: nothing but plain data crosses."""
    raise Unsendable(f"a {type(value).__name__} is not plain data")


def encode(value: object, export: Export = refuse) -> bytes:
    """Bytes for `decode`. Raises Unsendable for what is neither plain data nor known to `export`, or is too much."""
    tensors: dict[str, torch.Tensor] = {}

    def too_much(size: int) -> Unsendable:
        return Unsendable(f"{max(1, size >> 20)} MB of values are more than a check takes")

    def store(tensor: torch.Tensor) -> str:
        key = str(len(tensors))
        if tensor.nbytes > PAYLOAD_LIMIT:
            raise too_much(tensor.nbytes)
        # Contiguous copies: safetensors refuses tensors that share storage.
        tensors[key] = tensor.detach().to("cpu").contiguous().clone()
        return key

    def tree(value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.generic):
            return {"!": "scalar", "at": store(torch.from_numpy(np.array(value)))}
        if isinstance(value, (int, float)):
            return value
        if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > HEADER_LIMIT:
            raise too_much(len(value))
        if isinstance(value, list):
            return [tree(item) for item in value]
        if isinstance(value, (tuple, set, frozenset)):
            kind = "tuple" if isinstance(value, tuple) else "set"
            return {"!": kind, "items": [tree(item) for item in value]}
        if isinstance(value, dict):
            return {"!": "dict", "items": [[tree(key), tree(item)] for key, item in value.items()]}
        if isinstance(value, bytes):
            return {"!": "bytes", "hex": value.hex()}
        if isinstance(value, torch.Tensor):
            return {"!": "tensor", "at": store(value)}
        if isinstance(value, np.ndarray):
            # A copy in C order: torch takes no negative strides, and warns of read-only memory.
            return {"!": "array", "at": store(torch.from_numpy(np.array(value, order="C")))}
        if isinstance(value, torch.Generator):
            return {"!": "generator", "at": store(value.get_state())}
        if isinstance(value, torch.dtype):
            return {"!": "dtype", "name": str(value).removeprefix("torch.")}
        return export(value)

    try:
        header = json.dumps(tree(value)).encode()
        block = safetensors.torch.save(tensors) if tensors else b""
    except Unsendable:
        raise
    except Exception as error:
        # A subclass of dict or tensor brings methods of its own, which may raise anything.
        raise Unsendable(f"{type(error).__name__}: {error}") from error
    size = LENGTH_BYTES + len(header) + len(block)
    if len(header) > HEADER_LIMIT or size > PAYLOAD_LIMIT:
        raise too_much(size)
    return len(header).to_bytes(LENGTH_BYTES, "big") + header + block


def decode(message: bytes, restore: Restore | None = None) -> Any:
    """The value that `encode` was given. Raises MalformedMessage; never executes anything from the message.

    Of a hostile message it makes plain data of the exact built-in types, torch tensors and numpy arrays, and never
    more than a few times its bytes.
    """

    def untree(node: Any) -> Any:
        if isinstance(node, list):
            return [untree(item) for item in node]
        if not isinstance(node, dict):
            return node
        kind = node["!"]
        if kind in ("tensor", "array", "scalar", "generator"):
            # Once only: ten thousand generators must not be made of one stored state.
            tensor = tensors.pop(node["at"])
            if kind == "tensor":
                return tensor
            if kind == "generator":
                generator = torch.Generator()
                generator.set_state(tensor)
                return generator
            return tensor.numpy() if kind == "array" else tensor.numpy()[()]
        if kind == "tuple":
            return tuple(untree(item) for item in node["items"])
        if kind == "set":
            items = [untree(item) for item in node["items"]]
            return {frozenset(item) if isinstance(item, set) else item for item in items}
        if kind == "dict":
            return {untree(key): untree(item) for key, item in node["items"]}
        if kind == "bytes":
            return bytes.fromhex(node["hex"])
        if kind == "dtype":
            # Not getattr: for some names torch imports a module.
            dtype = vars(torch).get(node["name"])
            if not isinstance(dtype, torch.dtype):
                raise ValueError(f"{node['name']} is no dtype")
            return dtype
        if restore is None:
            raise ValueError(f"unknown tag {kind!r}")
        return restore(node)

    try:
        start = LENGTH_BYTES + int.from_bytes(message[:LENGTH_BYTES], "big")
        header, block = message[LENGTH_BYTES:start], message[start:]
        if len(message) < start:
            raise MalformedMessage(f"{len(message)} bytes, of which the header alone should have {start}")
        if start - LENGTH_BYTES > HEADER_LIMIT or len(message) > PAYLOAD_LIMIT:
            raise MalformedMessage(f"{len(message)} bytes are over the limit")
        tensors = safetensors.torch.load(block) if block else {}
        return untree(json.loads(header))
    except MalformedMessage:
        raise
    except Exception as error:
        raise MalformedMessage(f"{type(error).__name__}: {error}") from error
