"""Build the wheel, install it without the repository and see that all of it is there.

The fresh environment borrows the dependencies of the one that runs this script, so that torch is
not installed again, but neither this project nor its folder is on its path. The installing is
done by the very command that napari's plugin manager runs.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = {"napari_unet", "napari_unet_cells"}
IMPORT_LIMIT_S = 0.2

# Runs in the fresh environment, outside of the repository.
INSPECTION = """
import sys
from importlib.resources import files
import napari_unet
from npe2 import PluginManager, PluginManifest

package = files("napari_unet")
assert str(package).startswith(sys.prefix), f"napari_unet is imported from {package}"
assert package.joinpath("py.typed").is_file()

manifest = PluginManifest.from_distribution("napari-unet-cells")
manifest.validate_imports()
assert manifest.package_version == napari_unet.__version__
manager = PluginManager.instance()
manager.discover()
assert "napari-unet-cells" in manager, "napari does not find the plugin"

from napari_unet.engine.networks.bundled import BUNDLED_MODELS, EARLIER_MODELS

rows = (*BUNDLED_MODELS, *EARLIER_MODELS)
models = [napari_unet.load_checkpoint(row.name) for row in rows]
for row in rows:
    assert row.card.is_file(), f"the model card {row.card.name} is not in the wheel"

samples = manifest.contributions.sample_data
assert samples
for sample in samples:
    layers = sample.open()
    assert all(layer[0].size for layer in layers), sample.key
    if sample.key == "fluorescence":
        image, shown = layers[0][0], sample.key

for model in models:
    cells = napari_unet.segment(image[:256, :256], model)
print(f"manifest, {len(models)} models and {len(samples)} samples are in the wheel; "
      f"{cells.labels.max()} cells in a corner of sample '{shown}'")
"""


def main() -> None:
    """Run every check; the first that fails ends the script."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-wheel-") as folder:
        elsewhere = Path(folder)
        wheel = _build_wheel(elsewhere / "dist")
        python = _make_environment(elsewhere / "environment", elsewhere / "dependencies")
        _install_as_the_plugin_manager_does(python, wheel, elsewhere)
        print(_run([python, "-c", INSPECTION], elsewhere).strip())
        version = _run([python.with_name("napari-unet"), "--version"], elsewhere)
        print(f"{wheel.name}: {version.strip()}")
        _check_import_time(python, elsewhere)


def _build_wheel(folder: Path) -> Path:
    # By way of the source distribution, so that this one is known to be whole as well.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def _make_environment(folder: Path, dependencies: Path) -> Path:
    """Make an environment that sees our dependencies but not this project."""
    venv.create(folder, symlinks=os.name != "nt")
    dependencies.mkdir()
    for path in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(path).iterdir():
            if entry.name.partition("-")[0].lstrip("_").partition(".")[0] not in OURS:
                (dependencies / entry.name).symlink_to(entry)
    scheme_variables = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", scheme_variables))
    (site_packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return Path(sysconfig.get_path("scripts", "venv", scheme_variables)) / "python"


def _install_as_the_plugin_manager_does(python: Path, wheel: Path, folder: Path) -> None:
    from napari_plugin_manager.base_qt_package_installer import InstallerActions
    from napari_plugin_manager.qt_package_installer import NapariPipInstallerTool

    tool = NapariPipInstallerTool(action=InstallerActions.INSTALL, pkgs=(str(wheel),))
    # Every dependency is in sight: a need to fetch one is a fault in what the wheel asks for.
    _run([python, *tool.arguments(), "--no-index"], folder)


def _check_import_time(python: Path, folder: Path) -> None:
    statement = (
        "import time; start = time.perf_counter(); import napari_unet; "
        "print(time.perf_counter() - start)"
    )
    # The first run writes the bytecode; of the others the median, as a busy machine has outliers.
    times_s = sorted(float(_run([python, "-c", statement], folder)) for _ in range(6))
    median_s = times_s[len(times_s) // 2]
    print(f"import napari_unet: {1000 * median_s:.1f} ms (limit {1000 * IMPORT_LIMIT_S:.0f} ms)")
    if median_s > IMPORT_LIMIT_S:
        sys.exit("Importing napari_unet takes too long.")


def _run(command: list[str | Path], folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nfailed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
