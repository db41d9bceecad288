"""What is wrong with a value of the configuration, in words for people."""

import difflib

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from conf.key_tree import known_keys


def described(detail: ErrorDetails, root: type[BaseModel]) -> str:
    """Return the dotted key, the value, the rule and, of an unknown key, the nearest right one.

    Args:
        detail: Of pydantic's error.
        root: What was to be made.
    """
    keys = [str(key) for key in detail["loc"]]
    dotted = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(keys[-1], known_keys(root, keys[:-1]), n=1, cutoff=0.4)
        hint = f"; did you mean {'.'.join([*keys[:-1], nearest[0]])}?" if nearest else ""
        return f"{dotted}: unknown key{hint}"
    if detail["type"] == "missing":
        return f"{dotted}: is missing and has no default"
    if detail["type"] == "value_error":
        rule = detail["msg"].removeprefix("Value error, ")
        return f"{dotted or '(whole file)'}: {rule}"
    value = "***" if keys == ["privacy", "key"] else repr(detail["input"])
    return f"{dotted or '(whole file)'}={value}: {detail['msg']}"
