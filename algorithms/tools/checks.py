"""Checks of hyper-parameters that count something or are a share."""


def check_whole(name: str, value: float, least: int = 0) -> None:
    """Raise ValueError if a hyper-parameter that counts something does not."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value}: give {least} or more, as a whole number")


def check_share(name: str, value: float) -> None:
    """Raise ValueError if a hyper-parameter that is a share is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not a share: give a number from 0 to 1")
