"""Checks hyper-parameters that are counts or shares."""


def check_whole(name: str, value: float, least: int = 0) -> None:
    """Raise ValueError if a hyper-parameter is not a whole number, or is too small."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value}: give {least} or more, as a whole number")


def check_share(name: str, value: float) -> None:
    """Raise ValueError if a hyper-parameter is not a share."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not a share: give a number from 0 to 1")
