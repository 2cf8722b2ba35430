"""Trains one model in several processes, each with a share of the rows; started by torchrun.

    torchrun --standalone --nproc-per-node 2 -m export.training.distributed --data completejourney --model neural

Row groups are dealt out, gradients are averaged after every step (gloo on CPUs, NCCL on GPUs), rank 0 validates and
writes the run. Knows flags and processes; the training loop is the same as in one process.
"""

import os
from typing import Annotated

import torch
import torch.distributed as dist
import typer

from export.models.kinds import KINDS, config_of
from export.training.process_group import DistributedGroup
from export.training.run import train_run
from services.settings.load import load_settings


def train_distributed(
    data: Annotated[str, typer.Option(help="Name of an imported and replayed data set.")],
    model: Annotated[str, typer.Option(help=f"Kind of model: {', '.join(KINDS)}.")] = "neural",
    seed: Annotated[int, typer.Option(help="Seed of initial weights and row order.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the rows. Default: the kind's own.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; one GPU per process.")] = None,
    *,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = False,
) -> None:
    """Train in the processes that torchrun started."""
    settings = load_settings(data)
    chosen = config_of(model, settings.training.model_dump(), {"device": device}).device
    if chosen == "cuda":
        chosen = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.startswith("cuda") else "gloo")
    try:
        group = DistributedGroup()
        overrides = {"epochs": epochs, "device": chosen}

        def log(line: str) -> None:
            if not group.rank:
                typer.echo(line)

        out = train_run(settings, data, model, seed, overrides, log=log, resume=resume, group=group)
        log(f"run in {out}")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    typer.run(train_distributed)
