"""Two small networks for the spoken digits, as others would write them: they know nothing of Earmark."""

import torch
from torch import nn

CLASSES = 10


class Residual(nn.Module):
    """Two convolutions and what passes them by (He et al. 2016); the first halves both axes of its input."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(channels, width, kernel_size=1, stride=2, bias=False)
        self.norm_shortcut = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[B, channels, F, T]`` to ``[B, width, F / 2, T / 2]``."""
        branch = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        branch += self.norm_shortcut(self.shortcut(x))
        return self.relu2(branch)


class ResNet(nn.Module):
    """A stem with its normalisation behind the ReLU, three residual blocks, and a mean over time and frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.relu = nn.ReLU()
        self.norm = nn.BatchNorm2d(16)
        self.block1 = Residual(16, 16)
        self.block2 = Residual(16, 32)
        self.block3 = Residual(32, 64)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[B, 1, F, T]`` to logits ``[B, 10]``."""
        x = self.norm(self.relu(self.stem(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.dense(self.dropout(self.pool(x).flatten(1)))


class Transformer(nn.Module):
    """Patches of a spectrogram that attend to each other (Gong, Chung and Glass 2021, in small)."""

    PATCH = 8
    WIDTH = 64

    def __init__(self, shape: tuple[int, int] = (64, 64)) -> None:
        super().__init__()
        patches = (shape[0] // self.PATCH) * (shape[1] // self.PATCH)
        self.patches = nn.Conv2d(1, self.WIDTH, kernel_size=self.PATCH, stride=self.PATCH)
        self.places = nn.Parameter(0.02 * torch.randn(patches, self.WIDTH))
        layer = nn.TransformerEncoderLayer(
            self.WIDTH, nhead=4, dim_feedforward=128, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=3, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(self.WIDTH)
        self.dense = nn.Linear(self.WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[B, 1, 64, 64]`` to logits ``[B, 10]``."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places  # [B, patches, WIDTH]
        return self.dense(self.norm(self.encoder(tokens)).mean(dim=1))


def build_resnet() -> nn.Module:
    """Build the residual network, which layer-wise relevance propagation explains."""
    return ResNet()


def build_transformer() -> nn.Module:
    """Build the transformer, which no propagation rule covers and which is explained by perturbing its input."""
    return Transformer()
