"""Findings about imported runs, shown with each score that uses some."""

from collections.abc import Iterable, Iterator

from forget512.harness.store.import_notes import Origin
from forget512.scoring import Finding


def origin_findings(origins: Iterable[Origin], seeds: Iterable[int], reference: bool) -> Iterator[Finding]:
    """A finding for each import that brought some of these seeds."""
    used = set(seeds)
    for origin in origins:
        count = len(used.intersection(origin.seeds))
        if count:
            whose = "The reference's" if reference else "Its"
            text = (
                f"{whose} runs were imported from {origin.file} ({origin.sha256[:12]}), {count} of {len(used)}: they "
                "were done elsewhere, and their seconds are another machine's."
            )
            numbers: dict[str, float | int | list[int]] = {"runs": count, "of": len(used)}
            if reference:
                yield Finding("imported-reference", "retrained", text, numbers)
            else:
                yield Finding("imported", "unlearned", text, numbers)
