"""Seeds all randomness of one run."""

import hashlib
import random
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Seeds:
    """The randomness of one run, which depends only on (bank key, seed), not on workers or the order of runs."""

    key: str
    seed: int

    def of(self, purpose: str) -> int:
        """Return a 63-bit seed for one stream."""
        digest = hashlib.sha256(f"{self.key}/{self.seed}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def apply(self) -> None:
        """Seed the global generators of torch, numpy and random."""
        number = self.of("global")
        torch.manual_seed(number)
        np.random.seed(number % 2**32)
        random.seed(number)
