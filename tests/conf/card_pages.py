"""A page with samples, as the trainer writes it into a model's folder."""

from conf.pages.blocks import Sample, Section, Table
from conf.pages.page import Page


def card_of(model: str, names: tuple[str, ...]) -> str:
    """Return a page with a sample of each user."""
    samples = [
        Sample(name, [Table(f"list of {number}", ["item"], [[f"</article> {number}"]])])
        for number, name in enumerate(names)
    ]
    section = Section("samples", "Sample lists", samples=samples)
    return Page("Model card", model, "", [], [section]).render()
