"""The flow `train-model`: a training as a deployment runs it, with the options that a team turns."""

from pathlib import Path
from typing import Literal

from prefect import flow

from flows.settings import Settings
from flows.time_limits import spread_s
from flows.train_model import TrainRequest
from flows.train_model import train_model as train


@flow(
    name="train-model", flow_run_name="{out}", validate_parameters=True, persist_result=False,
    retries=2, retry_delay_seconds=spread_s(300), timeout_seconds=Settings().train_timeout_s,
)  # fmt: skip
def train_model(
    out: str,
    images: list[str] | None = None,
    masks: list[str] | None = None,
    class_names: list[Literal["crack", "rust"]] | None = None,
    data: str | None = None,
    initial_model: str | None = "spanscan-unet",
    model: str = "unet",
    steps: int = 4000,
    patience: int | None = 5,
    seed: int = 1,
) -> str:
    """Train on folders of images and masks, one class name for each; the path of the weights in the run folder `out`.

    A run that was stopped goes on from its last checkpoint when it is run with the same `out`. The other options of
    `spanscan train` are as that command sets them. Raises InputRejected and UsageError as `flows.train_model` does.
    """
    from segmentation.inference.devices import pick_device

    chosen = Settings()
    pairs = zip(images or (), masks or (), class_names or (), strict=True)
    request = TrainRequest(
        out=Path(out), data=None if data is None else Path(data),
        folders=tuple((Path(image), Path(mask), name) for image, mask, name in pairs),
        others_absent=False, synthetic_share=0.4, model=model, net_arguments=(), backbone=None,
        initial_model=initial_model, steps=steps, batch=8, accumulate=1, crop_px=256, learning_rate=1.5e-3,
        schedule="cosine", class_weights="fixed", least_damage_px=None, centre_line=0.0, patience=patience, seed=seed,
        deterministic=False, mixed_precision=chosen.precision != "fp32",
    )  # fmt: skip
    return train(request, device=pick_device(chosen.device).split(":")[0], threads=chosen.workers)
