"""Event: something that happened while runs were executed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something happened while runs were done.

    kind: joined | left | refused | given | original | finished | failed | again | lost | stopped | aside | waiting;
    docs/clusters.md says what each is. algorithm: its bank's. text: one line. place: where. seconds: that a run held
    its place.
    """

    kind: str
    algorithm: str = ""
    seed: int | None = None
    text: str = ""
    place: str = ""
    seconds: float | None = None
