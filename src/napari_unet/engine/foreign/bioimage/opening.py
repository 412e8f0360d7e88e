"""Models as bioimage.io packages: a description, and weights in one or more formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from napari_unet.engine.base.errors import CheckpointError, CodeInFileError, SettingsError
from napari_unet.engine.base.settings import InstanceSettings
from napari_unet.engine.foreign.bioimage.description import (
    PackageDescription,
    TensorFacts,
    is_unnamed,
    read_description,
)
from napari_unet.engine.foreign.bioimage.files import PackageFiles
from napari_unet.engine.foreign.bioimage.own_test import tested
from napari_unet.engine.foreign.bioimage.processing import (
    Final,
    Preprocessing,
    postprocessing,
    preprocessing,
)
from napari_unet.engine.foreign.guesses import (
    FINAL,
    NORMALIZATION,
    ROLES,
    fixed_guess,
    output_guesses,
)
from napari_unet.engine.foreign.model_file.contents import ModelFileKind, identify, read_weights
from napari_unet.engine.foreign.ready_made.network import ReadyMadeNetwork, load_ready_made
from napari_unet.engine.networks.architecture import NetworkModule
from napari_unet.engine.networks.class_roles import BORDER, CELL
from napari_unet.engine.networks.graph_network import GraphNetwork
from napari_unet.engine.networks.network import Guess, Network
from napari_unet.engine.networks.output_meaning import (
    OutputMeaning,
    guessed_meaning,
    roles_of_names,
)

_LONGEST_DESCRIPTION = 4_000_000

_PROGRAMS = {"onnx": ModelFileKind.ONNX, "torchscript": ModelFileKind.TORCHSCRIPT}


Recognise: TypeAlias = Callable[..., Network]
"""Works out a network from `tensors`, `name` and `facts`; raises CheckpointError if it cannot."""


def load_bioimage(
    path: str | Path,
    *,
    allow_code: bool,
    recognise: Recognise,
    open_own: Callable[[Path], Network] | None = None,
) -> Network:
    """Open a bioimage.io package of format 0.4 or 0.5; nothing is ever downloaded.

    A file of this project, which our own export attaches, comes before all
    others: it knows most. Weights of PyTorch come next, because they can be fine-tuned: the network
    is worked out from them. The package's Python file that would build it is
    not run, whatever `allow_code` says. Then come ONNX and TorchScript.

    Parameters
    ----------
    path : path
        The zip file, the folder that it was unpacked to, or the ".yaml" file
        in that.

    Raises
    ------
    CodeInFileError
        If only its TorchScript program could be opened and nobody said yes.
    CheckpointError
        If it cannot be opened, or asks for processing that is not done here.
    """
    path = Path(path)
    try:
        with PackageFiles(path) as files:
            opener = _Opener(files, allow_code=allow_code, recognise=recognise)
            own = opener.own_model() if open_own else None
            return open_own(own) if open_own and own else opener.network()
    except CheckpointError as error:
        # The sentences below begin with a verb.
        kind = type(error)
        raise kind(f"'{path.name}' {error}") from error


class _Opener:
    """Opens the first of a package's weights that passes the package's own test."""

    def __init__(self, files: PackageFiles, *, allow_code: bool, recognise: Recognise) -> None:
        self._files, self._allow_code, self._recognise = files, allow_code, recognise
        with files.path(files.description_name).open("rb") as file:
            self._package = read_description(file.read(_LONGEST_DESCRIPTION))
        self._input, self._output = _only(self._package)
        try:
            # What cannot be done here is told before any weights are read.
            preprocessing(self._input, len(self._input.channels) or 1)
            self._after = postprocessing(self._output)
        except (AttributeError, KeyError, TypeError, ValueError, SettingsError) as error:
            raise CheckpointError(
                f"describes processing that cannot be read ({error}); ask its author for another."
            ) from error

    def own_model(self) -> Path | None:
        """File of this project among the attachments."""
        for name in self._package.attachments:
            with suppress(CheckpointError):
                path = self._files.path(name)
                if identify(path) is ModelFileKind.OWN:
                    return path
        return None

    def network(self) -> Network:
        """Return the network, described."""
        refusals: list[CheckpointError] = []
        doubtful: list[Network] = []
        for kind in ("pytorch_state_dict", "onnx", "torchscript"):
            if kind not in self._package.weights:
                continue
            try:
                described = self._described(self._opened(kind))
                network, is_sure = tested(described, self._package, self._files, self._after)
            except CheckpointError as error:
                refusals.append(error)
                continue
            if is_sure:
                return network
            doubtful.append(network)
        if doubtful:
            return doubtful[0]
        raise self._refusal(refusals)

    def _refusal(self, refusals: Sequence[CheckpointError]) -> CheckpointError:
        """Say why no weights could be opened."""
        reasons = " ".join(str(error) for error in refusals)
        if any(isinstance(error, CodeInFileError) for error in refusals):
            return CodeInFileError(f"can be opened as a program only. {reasons}")
        found = ", ".join(self._package.weights) or "no program that is known here"
        code = next((w.code_file for w in self._package.weights.values() if w.code_file), "")
        if code:
            reasons = f"{reasons} Its Python file '{code}' was not run: nothing here needs it."
        return CheckpointError(
            f"holds weights for {found}, and none can be opened here. {reasons}".rstrip()
        )

    def _opened(self, kind: str) -> Network:
        """Open one file of weights."""
        weights = self._package.weights[kind]
        try:
            path = self._files.path(weights.source, sha256=weights.sha256)
        except CheckpointError as error:
            raise CheckpointError(f"The package {error}") from error
        try:
            if kind == "pytorch_state_dict":
                read = read_weights(path)
                name = self._package.name
                return self._recognise(read.tensors, name=name, facts=read.facts)
            for beside in weights.beside if kind == "onnx" else ():
                # Whether something is missing is found out where it is needed.
                with suppress(CheckpointError):
                    self._files.path(beside)
            return load_ready_made(path, kind=_PROGRAMS[kind], allow_code=self._allow_code)
        except CheckpointError as error:
            # Nobody knows the temporary folder.
            raise type(error)(str(error).replace(str(path), weights.source)) from error

    # -- described as the package does ----------------------------------------------------------

    def _described(self, network: Network) -> Network:
        """Give a network the processing and the words of the package."""
        before = preprocessing(self._input, network.description.architecture.in_channels)
        meaning, guesses = self._meaning(network)
        unet = self._with_processing(network.unet, before, meaning)
        threshold = self._after.threshold
        instances = InstanceSettings()
        if threshold is not None:
            instances = InstanceSettings(foreground_threshold=threshold)
        own = (guess for guess in network.description.guesses if guess.about not in _TOLD)
        description = replace(
            network.description,
            name=self._package.name,
            architecture=unet.config,
            class_roles=meaning.class_roles,
            normalization=before.normalization,
            pixel_size_um=self._input.pixel_size_um,
            instances=instances,
            summary=self._package.summary,
            training_data=self._package.training_data,
            licence=self._package.licence,
            guesses=(*own, *guesses, *_dataset_guess(before)),
        )
        return Network(unet, description)

    def _with_processing(
        self, unet: NetworkModule, before: Preprocessing, meaning: OutputMeaning
    ) -> NetworkModule:
        """Let a network do what comes before it, and have its output read as the package does."""
        if isinstance(unet, GraphNetwork):
            return unet.begun_with(before.prelude).read_as(meaning)
        if not isinstance(unet, ReadyMadeNetwork):
            raise CheckpointError("Its weights are of napari-unet-cells itself: open them alone.")
        config = unet.config
        step = self._input.step_px if config.fixed_size is None else 1
        unet.program.lives_in = self._files.folder
        return unet.with_config(
            replace(
                config,
                meaning=meaning,
                file=str(self._files.origin),
                prelude=before.prelude,
                size_multiple=math.lcm(config.size_multiple, step),
                reach_px=max(config.reach_px, self._output.halo_px),
            )
        )

    def _meaning(self, network: Network) -> tuple[OutputMeaning, tuple[Guess, ...]]:
        """How the output is read, and what of that the package does not tell."""
        unet: Any = network.description.architecture
        meaning: OutputMeaning = unet.meaning
        names, told = self._output.channels, self._after.final
        if told is not None:
            meaning = _usual(len(meaning.channels), told)
        final, roles = output_guesses(meaning)
        own = {guess.about: guess for guess in network.description.guesses}
        if len(names) == len(meaning.channels) and not is_unnamed(names):
            meaning = OutputMeaning(meaning.final, roles_of_names(names))
            reason = f"The package calls its output channels {', '.join(names)}."
            roles = replace(output_guesses(meaning)[1], reason=reason)
        elif told is None:
            roles = own.get(ROLES, roles)
        return meaning, (roles,) if told is not None else (own.get(FINAL, final), roles)


_TOLD = (NORMALIZATION, FINAL, ROLES)
"""Guesses that a package makes needless, or makes itself."""


def _usual(channels: int, final: Final) -> OutputMeaning:
    """Meaning of channels without names."""
    if channels == 2 and final in ("sigmoid", "probability"):
        return OutputMeaning(final, (CELL, BORDER))
    return replace(guessed_meaning(channels), final=final)


def _dataset_guess(before: Preprocessing) -> tuple[Guess, ...]:
    if not before.measures_dataset:
        return ()
    reason = "The package measures intensities over many images; here they are those of each image."
    return (fixed_guess("measured_on", "Intensities are measured on", "each image", reason),)


def _only(package: PackageDescription) -> tuple[TensorFacts, TensorFacts]:
    """The one image that a package reads, and the first one that it gives."""
    if len(package.inputs) != 1:
        raise CheckpointError(f"reads {len(package.inputs)} inputs at once; expected one image.")
    reads, gives = package.inputs[0].axes, package.outputs[0].axes
    if reads not in ("bcyx", "bczyx") or gives != reads:
        raise CheckpointError(
            f"reads the axes '{reads}' and gives '{gives}'; expected 'bcyx' or 'bczyx' for both "
            "(batch, channel, z, y, x)."
        )
    return package.inputs[0], package.outputs[0]
