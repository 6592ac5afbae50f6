"""Examining a state_dict: logits and accuracies on data that unlearning never saw."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from forget512.algorithms.engines.choice import inference
from forget512.algorithms.training import Images
from forget512.harness.benchmark.benchmark import ExaminationPart, TrainingPart
from forget512.harness.store.record import RunRecord
from forget512.harness.worker.unlearn import State, fresh_network, make_images

BATCH = 512


class NotExaminable(Exception):
    """A state that does not fit the architecture, or gives no finite logits."""


class NotFinite(NotExaminable):
    """A state that gives logits that are not finite: the algorithm's doing, or that of a broken device."""


class Examiner:
    """Loads states strictly into one network of the benchmark's architecture and evaluates it in float32.

    images: the resident retain, forget and validation set; the test set joins them here.
    """

    def __init__(
        self, training: TrainingPart, examination: ExaminationPart, images: dict[str, Images], device: torch.device
    ):
        self.probe = examination
        self.images = {**images, "test": make_images(examination.test, training, device)}
        with torch.random.fork_rng():
            net = fresh_network(training, device).eval()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.forward = inference(self.net, self.images["test"].batch([0])[0])

    def examine(self, state: State, record: RunRecord) -> RunRecord:
        """The record with its logits and accuracies filled in.

        Raises:
            NotExaminable: the state does not fit the architecture, or gives logits that are not finite (NotFinite).
        """
        load_strictly(self.net, state)
        logits = {name: self._logits(images) for name, images in self.images.items()}
        for name, values in logits.items():
            bad = int((~torch.isfinite(values)).any(1).sum())
            if bad:
                raise NotFinite(
                    f"the network gives logits that are not finite (NaN or infinite) for {bad} of "
                    f"{len(values)} {name} examples"
                )
        accuracy = {
            f"{name}_accuracy": (values.argmax(1) == self.images[name].targets).double().mean().item()
            for name, values in logits.items()
        }
        return replace(
            record,
            **accuracy,  # type: ignore[arg-type]
            forget_logits=logits["forget"].cpu().numpy(),
            probe_retain_logits=logits["retain"].cpu().numpy()[self.probe.probe_retain],
            probe_test_logits=logits["test"].cpu().numpy()[self.probe.probe_test],
        )

    @torch.inference_mode()
    def _logits(self, images: Images) -> Tensor:
        """(n, C) float32."""
        return torch.cat([self.forward(images.batch(slice(i, i + BATCH))[0]) for i in range(0, len(images), BATCH)])


def load_strictly(net: nn.Module, state: State) -> None:
    """Load state into net.

    Raises:
        NotExaminable: names the first parameter that is missing, of another shape, or foreign.
    """
    wanted = net.state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise NotExaminable(f"the network that came back lacks {name!r}: it is not the benchmark's architecture")
        if state[name].shape != value.shape:
            raise NotExaminable(
                f"{name!r} came back with shape {tuple(state[name].shape)}: the benchmark's "
                f"architecture has {tuple(value.shape)}"
            )
    foreign = next((name for name in state if name not in wanted), None)
    if foreign is not None:
        raise NotExaminable(f"the network that came back has {foreign!r}, which the benchmark's architecture lacks")
    net.load_state_dict(state)
