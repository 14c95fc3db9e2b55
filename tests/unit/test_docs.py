"""What the documentation names is there."""

import ast
import importlib
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import torch
import yaml
from jsonschema import Draft202012Validator
from torch import nn

from earmark.plan import methods
from earmark.sound import masks
from earmark.sound.kinds import from_settings
from earmark.sound.logmel import LogMel

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "results/README.md", *(ROOT / "docs").rglob("*.md")])
CODE = sorted(path for folder in ("src", "benchmarks", "workflow") for path in (ROOT / folder).rglob("*.*"))
TEXTS = [*PAGES, ROOT / "config.yaml", *(path for path in CODE if path.suffix in (".py", ".smk", ".yaml"))]
MADE = {"envs/earmark.sif"}
IN_PAGES = {"earmark.put"}  # of the script that a browser runs


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def there_is(name: str) -> bool:
    """Tell whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if is_dataclass(found) and part in {field.name for field in fields(found)}:
                return True
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("text", TEXTS, ids=named)
def test_names_of_files_and_of_the_package_are_there(text):
    content = text.read_text(encoding="utf-8")
    files = set(re.findall(r"\b(?:src/earmark|docs|benchmarks|workflow|examples|profiles|envs)/[\w./-]*\w", content))
    assert {name for name in files - MADE if not (ROOT / name).exists() and not examples(text, name)} == set()
    names = re.findall(r"(?<![\w/.])earmark(?:\.[A-Za-z_]\w*)+", content)
    told = set(names) - IN_PAGES
    assert {name for name in told if not name.endswith((".yaml", ".def", ".sif")) and not there_is(name)} == set()


def examples(text: Path, name: str) -> bool:
    """Tell whether a page tells how a file is added."""
    return text.name == "add-an-explainer.md" and name.startswith("src/earmark/explainers/rivals.")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_in_pages_imports_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("earmark"):
                assert all(there_is(f"{node.module}.{alias.name}") for alias in node.names), ast.unparse(node)


def test_the_explainer_that_is_added_is_described_by_the_rules_of_such_files():
    page = ROOT / "docs/how-to/add-an-explainer.md"
    assert not list(Draft202012Validator(methods.SCHEMA).iter_errors(yaml.safe_load(blocks(page, "yaml")[0])))
    listed = re.findall(r"^\| `(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == set(methods.SCHEMA["properties"]["methods"]["additionalProperties"]["properties"])


class Heard(nn.Module):
    """Stands for a reader's network: its first logit is what speaks for anything at all."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(8),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = self.features(inputs).mean(dim=(2, 3))
        return torch.stack([found.sum(dim=1), -found.sum(dim=1)], dim=1)


def test_the_lines_for_a_network_of_ones_own_run() -> None:
    (lines,) = re.findall(
        r"```python\n(import torch\n.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Heard().eval()
    clips = torch.randn(4, 127 * 256, generator=torch.Generator().manual_seed(1)) / 8
    names = {"network": network, "clips": clips}
    exec(lines, names)
    assert names["sounds"].shape == (4, 127 * 256)
    whole = masks.render(names["frontend"], clips[0], names["standard"], names["standard"].unsqueeze(0))
    assert torch.allclose(names["sounds"].sum(dim=0), whole[0], atol=1e-5)


def test_the_front_end_of_ones_own_is_one(tmp_path, monkeypatch) -> None:
    page = ROOT / "docs/how-to/my-own-network.md"
    (lines,) = [block for block in blocks(page, "python") if "torchaudio" in block]
    (settings,) = [block for block in blocks(page, "yaml") if "kind: module" in block]
    (tmp_path / "my_front_end.py").write_text(lines)
    monkeypatch.chdir(tmp_path)
    frontend = from_settings(yaml.safe_load(settings)["frontend"])
    bank = LogMel(22050, 1024, 256, n_mels=128, n_frames=129, f_min=50.0)
    torch.testing.assert_close(frontend.frequencies, bank.frequencies, rtol=1e-3, atol=0)
    wave = torch.randn(32768, generator=torch.Generator().manual_seed(0))
    assert frontend(wave[None]).shape == (1, 1, 128, 129)
    ones = masks.apply_masks(frontend, wave, torch.ones(1, 128, 129))
    torch.testing.assert_close(ones[0], wave, rtol=1e-4, atol=1e-4)
