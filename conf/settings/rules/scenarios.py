"""The rules of `score.scenarios`: those of `score`, for each scenario, and what all lists share."""

import re
from collections.abc import Callable, Iterable, Iterator

from pydantic import ValidationError

from conf.settings.score import Scenario, Score

Broken = Callable[[Score], Iterable[str]]
"""Returns a message for each broken rule between a section of lists and other sections."""


def broken_scenario_rules(score: Score, broken: Broken) -> Iterator[str]:
    """Yield a message for each broken rule about a scenario.

    Args:
        score: The section `score`.
        broken: The rules of a section; what `score` itself breaks is not told again.
    """
    told = {*broken(score)}
    for name, scenario in score.scenarios.items():
        try:
            section = score.of_scenario(name)
        except ValidationError as error:
            for detail in error.errors():
                rule = detail["msg"].removeprefix("Value error, ")
                yield f"score.scenarios.{name}: {rule}"
            continue
        yield from (of_scenario(text, name, scenario) for text in broken(section)
                    if text not in told)  # fmt: skip
    yield from _about_channels(score)


def of_scenario(text: str, name: str | None, scenario: Scenario | None) -> str:
    """Return a message about keys of `score` as one about the keys that a scenario has of its own.

    Args:
        text: The message.
        name: The scenario; None: the lists of `score` itself.
        scenario: Its section.
    """
    own = [] if scenario is None else [*scenario.model_fields_set - {"users", "gates"}]
    if scenario is not None and scenario.gates is not None:
        own += [f"gates.{gate}" for gate in scenario.gates.model_fields_set]
    if not own:
        return text
    keys = "|".join(map(re.escape, own))
    return re.sub(rf"\bscore\.({keys})\b", rf"score.scenarios.{name}.\1", text)


def _about_channels(score: Score) -> Iterator[str]:
    """Yield a message for each channel of the name of another one with another model."""
    first: dict[str, tuple[str, str]] = {}
    sections = {"score": score.candidates} | {
        f"score.scenarios.{name}": one.candidates for name, one in score.scenarios.items()
    }
    for section, channels in sections.items():
        for name, channel in (channels or {}).items():
            key = f"{section}.candidates.{name}"
            other, source = first.setdefault(name, (key, channel.source))
            if source != channel.source:
                yield (
                    f"{key}.from={channel.source!r}, but {other}.from is {source!r}: channels of "
                    "one name have one model; choose another name"
                )
