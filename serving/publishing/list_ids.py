"""Ids of lists: the same list of the same user has the same id in every version.

Legend of shapes: N lists, R rows of them.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DIGITS = 16
"""Of SHA-256 in hexadecimal: 64 bits."""


def list_ids(
    scenario: str | None, user_ids: pa.Array, item_ids: pa.Array, offsets: np.ndarray
) -> pa.Array:
    """Return the id of each list: [N] strings.

    It is the beginning of the SHA-256 of scenario, user and items in their order, each written as
    a netstring (`5:i1234,`), so that no two lists are the same text. Source: Bernstein 1997.

    Args:
        scenario: Name of the scenario; None: the default lists.
        user_ids: [N]
        item_ids: [R] items of all lists, one list after another.
        offsets: [N + 1] where the items of each list begin, from 0.
    """
    items = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _netstrings(item_ids))
    texts = pc.binary_join_element_wise(_netstrings(user_ids), pc.binary_join(items, ""), "")
    prefix = f"{len((scenario or '').encode())}:{scenario or ''},".encode()
    return pa.array(
        [
            hashlib.sha256(prefix + text).hexdigest()[:_DIGITS]
            for text in texts.cast(pa.binary()).to_pylist()
        ],
        pa.string(),
    )


def _netstrings(texts: pa.Array) -> pa.Array:
    texts = texts.cast(pa.string())
    lengths = pc.binary_length(texts).cast(pa.string())
    marked = pc.binary_join_element_wise(lengths, texts, ":")
    return pc.binary_join_element_wise(marked, "", ",")
