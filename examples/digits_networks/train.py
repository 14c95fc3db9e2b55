"""Train a network on the ten spoken digits, in minutes, as its owner would have done long before Earmark.

    .venv/bin/python -m examples.digits_networks.train resnet
    .venv/bin/python -m examples.digits_networks.train transformer

`recordings/spoken-digits` holds zero/ one/ ... nine/. Written is a state dict, `resnet.safetensors` or
`transformer.safetensors`, to `recordings/digits-networks`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from examples.digits_networks.networks import CLASSES, build_resnet, build_transformer
from safetensors.torch import save_file
from torch import nn

from earmark.data.decode import decode
from earmark.errors import EarmarkError
from earmark.sound.logmel import LogMel

NETWORKS = {"resnet": build_resnet, "transformer": build_transformer}

TEST_SHARE = 0.2
BATCH = 64
RATE = 2e-3
"""Highest learning rate of the one cycle."""

Sounds = Sequence[torch.Tensor]
"""Waveforms of their own lengths, ``[n]``."""


def loaded(root: Path, rate: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Read recordings and the numbers of their sub-folders by alphabet, which are the classes ``[N]``.

    Raises
    ------
    EarmarkError
        If there are not ten sub-folders with recordings that can be read.
    """
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    if len(folders) != CLASSES:
        raise EarmarkError(f"{root} has {len(folders)} sub-folders: it is to hold one for each of the ten digits")
    sounds, targets = [], []
    for number, folder in enumerate(folders):
        paths = sorted(folder.glob("*.wav"))
        if not paths:
            raise EarmarkError(f"{folder} holds no .wav files")
        for path in paths:
            content = decode(path, rate)
            if content.reason:
                raise EarmarkError(f"{path} {content.reason}: take it out of the folder")
            sounds.append(torch.tensor(content.samples, dtype=torch.float32))
            targets.append(number)
    return sounds, torch.tensor(targets)


def placed(sound: torch.Tensor, samples: int, share: float) -> torch.Tensor:
    """Put a sound ``[n]`` into a clip ``[samples]``, with `share` of the room, or of what is cut off, before it."""
    room = samples - len(sound)
    start = round(share * abs(room))
    if room < 0:
        return sound[start : start + samples]
    return nn.functional.pad(sound, (start, room - start))


def inputs(sounds: Sounds, frontend: LogMel, shares: torch.Tensor) -> torch.Tensor:
    """Compute log-mel spectrograms ``[N, 1, F, T]`` of sounds that begin where `shares` ``[N]`` say."""
    clips = [placed(sound, frontend.clip_samples, share) for sound, share in zip(sounds, shares.tolist(), strict=True)]
    return torch.cat([frontend(torch.stack(clips[start : start + BATCH])) for start in range(0, len(clips), BATCH)])


def train(network: nn.Module, frontend: LogMel, sounds: Sounds, targets: torch.Tensor, epochs: int) -> None:
    """Train in place with Adam on one cycle; every epoch hears the sounds at other places of their clips."""
    steps = epochs * -(-len(sounds) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    network.train()
    for epoch in range(epochs):
        heard, total = inputs(sounds, frontend, torch.rand(len(sounds))), 0.0
        for rows in torch.randperm(len(sounds)).split(BATCH):
            loss = nn.functional.cross_entropy(network(heard[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(sounds):.4f}", flush=True)
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, frontend: LogMel, sounds: Sounds, targets: torch.Tensor) -> float:
    """Return the share of sounds, each at the beginning of its clip, that are told right."""
    logits = network(inputs(sounds, frontend, torch.zeros(len(sounds))))
    return float((logits.argmax(dim=1) == targets).double().mean())


def run(name: str, root: Path, out: Path, epochs: int, seed: int) -> float:
    """Train a network on a random part of the recordings, write its state dict, and return its accuracy on the rest."""
    torch.manual_seed(seed)
    frontend = LogMel.from_config({})
    sounds, targets = loaded(root, frontend.sample_rate)
    order = torch.randperm(len(sounds)).tolist()
    test, rest = order[: round(TEST_SHARE * len(order))], order[round(TEST_SHARE * len(order)) :]
    network = NETWORKS[name]()
    train(network, frontend, [sounds[row] for row in rest], targets[rest], epochs)
    out.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), out / f"{name}.safetensors")
    return accuracy(network, frontend, [sounds[row] for row in test], targets[test])


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--recordings", type=Path, default=Path("recordings/spoken-digits"))
    parser.add_argument("--out", type=Path, default=Path("recordings/digits-networks"), help="folder for the weights")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        right = run(arguments.network, arguments.recordings, arguments.out, arguments.epochs, arguments.seed)
    except EarmarkError as error:
        sys.exit(str(error))
    print(f"{arguments.out / arguments.network}.safetensors: {right:.1%} of the recordings kept for the test are right")


if __name__ == "__main__":
    main()
