"""The drum kits of examples/drums.yaml: sorted by their own descriptions, then planned like any recordings."""

import subprocess
import sys

import numpy as np
import soundfile
import yaml

from tests.workflow.conftest import ROOT

INSTRUMENTS = {
    "BassDrum": "kick",
    "Kick Low 2": "kick",
    "Snare Rimshot": "snare",
    "Closed HH": "hat",
    "hi-hat pedal": "hat",
    "Sabian Hat Swish": "hat",
    "Floor Tom": "tom",
    "ride-crash20inch": "cymbal",
    "Hand Clap": None,
    "Cowbell": None,
    "Stomp": None,
}


def kit(folder, name, namespace):
    """A kit whose every instrument has a recording, and one that is not there."""
    folder.mkdir(parents=True)
    layers = []
    for number, instrument in enumerate(INSTRUMENTS):
        soundfile.write(folder / f"{number}.wav", np.random.default_rng(number).normal(0, 0.1, 8000), 16000)
        files = f"<layer><filename>{number}.wav</filename></layer><layer><filename>gone.wav</filename></layer>"
        layers.append(f"<instrument><name>{instrument}</name>{files}</instrument>")
    about = f"<name>{name}</name><author>someone</author><license>free</license>"
    text = f"<drumkit_info{namespace}>{about}<instrumentList>{''.join(layers)}</instrumentList></drumkit_info>"
    (folder / "drumkit.xml").write_text(text)


def test_kits_are_sorted_and_explained(project, tmp_path):
    namespaces = "", ' xmlns="http://www.hydrogen-music.org/drumkit"'
    for number in range(6):
        kit(tmp_path / f"kits/My Kit {number}", "My Kit", namespaces[number % 2])
    target = project.folder / "recordings/drums"
    command = [sys.executable, str(ROOT / "examples/drums.py"), str(target), "--kits", str(tmp_path / "kits")]
    said = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    assert said.endswith("6 cymbal, 18 hat, 12 kick, 6 snare, 6 tom; 6 kits\n")
    for instrument, kind in INSTRUMENTS.items():
        found = sorted(target.glob(f"*/My-Kit-3__{list(INSTRUMENTS).index(instrument)}.wav"))
        assert [path.parent.name for path in found] == ([kind] if kind else []), instrument
    assert (target / "licences.csv").read_text().count("someone,free") == 6
    project.configure(yaml.safe_load((ROOT / "examples/drums.yaml").read_text()))
    jobs = project.plan()
    assert jobs["train"] == jobs["ingest"] == 1
    assert jobs["sonify_drums"] == 3  # what is heard is `info`, at every layer


def test_without_kits_it_says_what_to_install(tmp_path):
    command = [sys.executable, str(ROOT / "examples/drums.py"), str(tmp_path / "out"), "--kits", str(tmp_path)]
    called = subprocess.run(command, text=True, capture_output=True)
    assert called.returncode == 1
    assert called.stderr == f"{tmp_path} holds no kits: sudo apt-get install hydrogen-drumkits\n"


def mix(tmp_path, place, *options):
    """Mix the kits of a folder, and return the mixtures."""
    target = tmp_path / place / "mixtures"
    command = [sys.executable, str(ROOT / "examples/drum_mixtures.py"), str(target), "--kits", str(tmp_path / "kits")]
    said = subprocess.run([*command, *options], check=True, text=True, capture_output=True).stdout
    assert said.endswith("24 cymbal, 72 hat, 48 kick, 24 snare, 24 tom; 6 kits\n")
    return target


def test_strokes_are_mixed_at_their_levels_and_sum(project, tmp_path):
    for number in range(6):
        kit(tmp_path / f"kits/My Kit {number}", "My Kit", "")
    target = mix(tmp_path, "recordings")
    for path in sorted(target.glob("*/My-Kit-2__*.wav")):
        mixture, rate = soundfile.read(path)
        stems = {
            file.stem: soundfile.read(file)[0]
            for file in target.with_name("mixtures-stems").joinpath(path.relative_to(target).with_suffix("")).iterdir()
        }
        kind, below = path.parent.name, path.stem.split("__")[2]
        assert set(stems) == {kind, below} and kind != below
        assert (len(mixture), rate) == (15120, 16000)
        assert np.abs(mixture - sum(stems.values())).max() < 2**-22
        assert abs(max(np.abs(sound).max() for sound in (mixture, *stems.values())) - 0.9) < 1e-6
        levels = {}
        for name, samples in stems.items():
            active = samples[np.abs(samples) >= 0.01 * np.abs(samples).max()]
            levels[name] = 10 * np.log10(np.mean(active**2))
        assert abs(levels[kind] - levels[below] - 5) < 0.01
    assert (target / "licences.csv").read_text().count("someone,free") == 6
    contents = [
        [path.read_bytes() for path in sorted(folder.rglob("*.wav"))]
        for folder in (target, mix(tmp_path, "again"), mix(tmp_path, "other", "--seed", "1"))
    ]
    assert contents[0] == contents[1] != contents[2]


def test_mixtures_are_planned_with_what_only_stems_allow(project, tmp_path):
    for number in range(6):
        kit(tmp_path / f"kits/My Kit {number}", "My Kit", "")
    target = mix(tmp_path, "recordings")
    example = yaml.safe_load((ROOT / "examples/benchmark.yaml").read_text())
    example["datasets"]["drum-mixtures"] |= {"root": str(target), "stems": f"{target}-stems"}
    block = {"run": ["drum-mixtures"], "datasets": {"drum-mixtures": example["datasets"]["drum-mixtures"]}}
    project.configure(block)
    jobs = project.plan()
    assert jobs["gather"] == jobs["ablate"] == 1 and "borrow" not in jobs
    assert jobs["objects"] == 9  # of the grid, and of the standard explanation
    block["datasets"]["drum-mixtures"]["separated"] = f"{target}-stems"
    project.configure(block)
    for name in ("objects.csv", "sanity.csv"):  # whoever explains by what is separated waits for it
        assert project.plan(f"results/drum-mixtures/main/input/audiolime-folder/K~1/{name}")["borrow"] == 1
    block["datasets"]["drum-mixtures"]["stems"] = str(tmp_path / "gone")
    project.configure(block)
    refused = project.snakemake("--dry-run")
    assert refused.status == 1
    assert f"earmark: The folder of stems '{tmp_path / 'gone'}' does not exist." in refused.output
