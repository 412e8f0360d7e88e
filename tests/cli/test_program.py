"""The program as a whole: its help, its mistakes, and how it ends."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.cli.console import in_option_words, speak_of_options
from napari_unet.cli.program import COMMANDS
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.base.whole_file import whole_file
from napari_unet.files.images import write_labels

Output = Any
"""The fixture `output`: `read()` returns both streams, `complaint()` the only line of error."""

Pixels = Callable[..., np.ndarray]


def test_help_and_version_load_no_torch() -> None:
    code = (
        "import sys\nfrom napari_unet.cli import main\n"
        "for word in ('--help', '--version'):\n"
        "    try:\n        main([word])\n"
        "    except SystemExit as leaving:\n        assert leaving.code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert "segment     find the cells in images" in result.stdout
    assert "napari-unet-cells 0" in result.stdout


@pytest.mark.parametrize(
    "command",
    ["segment", "train", "evaluate", "compare", "weight-map", "inspect", "export", "demo"],
)
def test_each_command_explains_itself(command: str, output: Output) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])

    assert leaving.value.code == 0
    assert f"usage: napari-unet {command}" in output.read()[0]


def test_settings_of_the_engine_are_options_with_their_explanation(output: Output) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])

    text = " ".join(output.read()[0].split())
    assert "--min-size N Smaller cells are dropped" in text
    assert "(default: the model's own)" in text
    for option in ("--tile", "--diameter", "--every-slice", "--channel-axis", "--averaging"):
        assert option in text


def test_program_starts_as_a_module_where_it_is_not_on_the_path() -> None:
    command = [sys.executable, "-m", "napari_unet.cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout.startswith("napari-unet-cells 0")


def test_without_a_command_the_help_is_shown(output: Output) -> None:
    assert main([]) == 2
    assert "usage: napari-unet COMMAND" in output.read()[1]


def test_unknown_command_and_missing_argument_are_usage_errors(output: Output) -> None:
    for words in (["segmnt"], ["segment", "a.tif"], ["segment", "a.tif", "-o", "b", "--tile", "x"]):
        with pytest.raises(SystemExit) as leaving:
            main(words)
        assert leaving.value.code == 2
        assert "--help' for what is possible" in output.complaint()


def test_unexpected_error_is_one_sentence_and_debug_shows_where(
    output: Output, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    def explode(*_: object, **_options: object) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("napari_unet.cli.model_options.load_checkpoint", explode)

    assert main(["inspect", model]) == 1
    assert "unexpected went wrong (ZeroDivisionError: by design); run the" in output.complaint()
    assert main(["inspect", model, "--debug"]) == 1
    assert "Traceback" in output.read()[1]


def test_reader_that_closes_the_pipe_ends_the_program_quietly(
    tmp_path: Path, cells_labels: Pixels
) -> None:
    for name in ("a.tif", "b.tif"):
        write_labels(tmp_path / name, cells_labels())
    words = ["evaluate", str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), "--json"]
    code = f"import sys; from napari_unet.cli import main; sys.exit(main({words!r}))"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("segment", "Use every_slice=True.", "Use --every-slice."),
        ("segment", "min_size_px is -1; use 0 or more.", "--min-size is -1; use 0 or more."),
        ("segment", "Allow it (overwrite=True).", "Allow it (--overwrite)."),
        ("segment", "Say fill_holes=False.", "Say --no-fill-holes."),
        ("weight-map", "border_sigma_px is -1; use more.", "--sigma is -1; use more."),
        ("weight-map", "w0 is 0; use more.", "--w0 is 0; use more."),
        ("train", "steps is 0; use 1 or more.", "--steps is 0; use 1 or more."),
        ("train", "It counts channels (channel_axis=0).", "It counts channels (--channel-axis 0)."),
        ("export", "Give it, as in licence='CC-BY-4.0'.", "Give it, as in --licence CC-BY-4.0."),
        ("segment", "Choose one channel to segment.", "Choose one channel to segment (--channel)."),
        ("evaluate", "Please choose one by its number or name.", None),
        ("train", "Take it first, for example np.abs(image).", "Take it first."),
        ("segment", "Replace them, for example with np.nan_to_num(image).", "Replace them."),
        ("segment", "Convert it, for example image.astype('float32').", "Convert it."),
        (
            "export",
            "Segment every slice (every_slice=True), or not.",
            "Segment every slice, or not.",
        ),
        ("train", "'a (n=3).tif' and 'b (is_a=1).tif' are files.", None),
        # What is no option of this command, or a part of a file's name, stays.
        ("inspect", "Allow it with allow_code=True.", "Allow it with --allow-code."),
        ("inspect", "Name channel_axis=0.", "Name channel_axis=0."),
        ("segment", "'a/channel_axis=0.tif' and 'min_size_px' are files.", None),
        ("segment", "The device is lost, the region is 3 px wide; choose slice 2.", None),
    ],
)
def test_hints_for_python_are_told_in_the_options_of_the_command(command, message, said):
    parser = argparse.ArgumentParser()
    COMMANDS[command].load().add_options(parser)
    speak_of_options(parser)
    assert in_option_words(message) == (said or message)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_a_file_is_written_leaves_no_litter(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("Windows does not know it")

    def interrupted(*_: object) -> None:
        with whole_file(tmp_path / "half.tif", refused=FileError) as partial:
            partial.write_text("half")
            signal.raise_signal(number)

    monkeypatch.setattr("napari_unet.cli.commands.inspect.load_model", interrupted)
    usual = {signal.SIGINT: signal.default_int_handler}.get(number, signal.SIG_DFL)
    before = signal.signal(number, usual)
    try:
        assert main(["inspect", model]) == 130
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)

    assert list(tmp_path.iterdir()) == [Path(model)]
