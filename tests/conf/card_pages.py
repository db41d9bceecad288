"""A page with samples, as the trainer writes it into a model's folder."""

from conf.page import Page
from conf.page_blocks import Sample, Section, Table


def card_of(model: str, names: tuple[str, ...]) -> str:
    """Return a page with a sample of each user."""
    samples = [
        Sample(name, [Table(f"list of {number}", ["item"], [[f"</article> {number}"]])])
        for number, name in enumerate(names)
    ]
    section = Section("samples", "Sample lists", samples=samples)
    return Page("Model card", model, "", [], [section]).render()
