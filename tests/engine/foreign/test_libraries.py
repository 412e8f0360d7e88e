"""Weights of MONAI, segmentation-models-pytorch and nnU-Net become networks like any other."""

import dataclasses
import importlib
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.engine.base.errors import CheckpointError
from napari_unet.engine.foreign.libraries.opening import recognise_library
from napari_unet.engine.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet.engine.models.one_call import segment
from napari_unet.engine.training.pairs import TrainingPair
from napari_unet.engine.training.settings import TrainingSettings
from napari_unet.engine.training.training import train

FEATURES = (4, 4, 6, 8, 8, 4)


@pytest.fixture(scope="session", autouse=True)
def _torchvision_starts_without_its_compiled_part():
    # segmentation-models-pytorch imports torchvision, whose compiled part needs the very torch
    # that it was built with. None of its functions is used, but two must have been declared.
    declared = torch.library.Library("torchvision", "FRAGMENT")
    try:
        library("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return declared


def library(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def trained(module):
    """Stand in for training: norms with statistics, weights and slopes of their own."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.affine:
            nn.init.uniform_(layer.weight, 0.7, 1.3, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, 0.1, 0.4, generator=generator)
    return module.eval()


def monai_unet(ndim=2, **options):
    options = {"strides": (2, 2), **options}
    return trained(library("monai.networks.nets").UNet(ndim, 1, 3, (4, 6, 8), **options))


def basic_unet(ndim=2, **options):
    return trained(library("monai.networks.nets").BasicUNet(ndim, 1, 2, FEATURES, **options))


def smp_unet(encoder, depth=5, **options):
    options = {"encoder_weights": None, "decoder_channels": (16, 8, 8, 8, 4)[:depth], **options}
    unet = library("segmentation_models_pytorch").Unet(encoder, encoder_depth=depth, **options)
    return trained(unet)


def nnunet(ndim=2, **options):
    unets = library("dynamic_network_architectures.architectures.unet")
    flat = ndim == 2
    kernels = [(3, 3)] * 3 if flat else [(1, 3, 3), (3, 3, 3), (3, 3, 3)]
    strides = [(1, 1), (2, 2), (2, 2)] if flat else [(1, 1, 1), (1, 2, 2), (2, 2, 2)]
    defaults = {
        "conv_bias": True,
        "norm_op": nn.InstanceNorm2d if flat else nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
    conv = nn.Conv2d if flat else nn.Conv3d
    return trained(
        unets.PlainConvUNet(
            1, 3, (4, 6, 8), conv, kernels, strides, (2, 2, 1), 2, (2, 1), **{**defaults, **options}
        )
    )


MODULES = {
    "MONAI UNet": lambda: monai_unet(),
    "MONAI UNet, 3-D, residual units": lambda: monai_unet(3, num_res_units=2),
    "MONAI UNet, one residual unit, kernel 5": lambda: monai_unet(num_res_units=1, kernel_size=5),
    "MONAI UNet, batch norm, ReLU": lambda: monai_unet(norm="batch", act="relu", bias=False),
    "MONAI UNet, stride 1, residual units": lambda: monai_unet(num_res_units=2, strides=(2, 1)),
    "MONAI UNet, anisotropic": lambda: monai_unet(
        3, kernel_size=(1, 3, 3), up_kernel_size=(1, 3, 3), strides=((1, 2, 2), (1, 2, 2))
    ),
    "MONAI BasicUNet": lambda: basic_unet(),
    "MONAI BasicUNet, 3-D, batch norm": lambda: basic_unet(3, norm="batch"),
    "MONAI BasicUNet, interpolating": lambda: basic_unet(upsample="nontrainable"),
    "MONAI BasicUNet, PReLU, no norm": lambda: basic_unet(act="prelu", norm=None),
    "smp ResNet-18": lambda: smp_unet("resnet18", in_channels=1),
    "smp ResNet-50, 3 levels": lambda: smp_unet("resnet50", 3, in_channels=1, classes=3),
    "smp ResNeXt-50": lambda: smp_unet("resnext50_32x4d", 3, in_channels=1),
    "smp VGG-11": lambda: smp_unet("vgg11", 4, in_channels=1),
    "smp VGG-13 with batch norm": lambda: smp_unet("vgg13_bn", in_channels=1),
    "nnU-Net 2-D": lambda: nnunet(),
    "nnU-Net 3-D, anisotropic": lambda: nnunet(3),
    "nnU-Net, deep supervision": lambda: nnunet(deep_supervision=True),
    "nnU-Net, batch norm": lambda: nnunet(norm_op=nn.BatchNorm2d),
}
QUICK = TrainingSettings(
    steps=1, batch_size=1, patch_size_px=64, warmup_steps=1, precision="float32"
)


@pytest.mark.parametrize("name", MODULES)
def test_output_is_the_librarys_own(name):
    module = MODULES[name]()
    network = recognise_library(module.state_dict(), {}, name="mine")
    config = network.description.architecture
    # Not the size that it was taken over at.
    multiple = config.size_multiple
    sizes = [2 * multiple, multiple, 3 * multiple][-config.ndim :]
    x = torch.randn(2, 1, *sizes, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, found = module(x), network.unet.author_output(x)
    # With deep supervision the first is at full resolution.
    expected = expected[0] if isinstance(expected, list) else expected
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["MONAI UNet, batch norm, ReLU", "smp VGG-11", "nnU-Net, batch norm"]
)
def test_tiles_are_equal_to_the_image_as_a_whole(name):
    network = recognise_library(MODULES[name]().state_dict(), {}, name="mine")
    assert network.description.architecture.inexact_because == ""
    image = np.random.default_rng(3).random((203, 161), np.float32)
    options = {"device": "cpu", "precision": "float32"}
    whole = segment(image, network, tile_px=512, **options)
    tiled = segment(image, network, tile_px=64, **options)
    assert np.allclose(tiled.scores, whole.scores, atol=1e-5)


@pytest.mark.parametrize("name", ["MONAI UNet", "smp ResNet-18", "nnU-Net 2-D"])
def test_learns_and_is_saved_and_opened_without_the_library(name, tmp_path, monkeypatch):
    network = recognise_library(MODULES[name]().state_dict(), {}, name="mine")
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40] = 1
    run = train([TrainingPair(100.0 * labels, labels, "square")], network, settings=QUICK)
    assert np.isfinite([report.loss for report in run]).all()
    path = save_checkpoint(run.network, tmp_path / "mine")
    for module in ("monai", "segmentation_models_pytorch", "dynamic_network_architectures"):
        monkeypatch.setitem(sys.modules, module, None)
    again = load_checkpoint(path)
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.unet.author_output(x), run.network.unet.author_output(x))
    assert segment(np.random.default_rng(0).random((61, 47)), again).labels.shape == (61, 47)


def test_prefix_of_a_wrapper_and_names_left_out_make_no_difference():
    module = nnunet()
    state = {f"network.{key}": value for key, value in module.state_dict().items()}
    bare = {key: value for key, value in state.items() if "all_modules" not in key}
    x = torch.randn(1, 1, 16, 16)
    for weights in (state, bare):
        network = recognise_library(weights, {}, name="mine")
        with torch.no_grad():
            assert torch.allclose(network.unet.author_output(x), module(x), atol=1e-5)
    inner = {k.removeprefix("model."): v for k, v in monai_unet().state_dict().items()}
    assert recognise_library(inner, {}, name="mine").description.architecture.origin == "MONAI UNet"


def test_half_precision_weights_are_computed_in_single_precision():
    weights = {
        k: v.half() if v.is_floating_point() else v for k, v in nnunet().state_dict().items()
    }
    network = recognise_library(weights, {}, name="mine")
    assert {p.dtype for p in network.unet.parameters()} == {torch.float32}


def test_colour_encoder_begins_with_the_mean_and_deviation_of_imagenet():
    module = smp_unet("resnet18", 3)
    network = recognise_library(module.state_dict(), {}, name="mine")
    image = torch.rand(1, 3, 16, 24)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = module((image - mean) / deviation)
        assert torch.allclose(network.unet.author_output(image), expected, atol=1e-5)
    assert network.description.normalization.kind == "none"
    assert "ImageNet" in network.description.guesses[0].reason


def test_what_weights_do_not_tell_is_guessed_with_a_reason():
    network = recognise_library(monai_unet(act="relu").state_dict(), {}, name="mine")
    guesses = {guess.about: guess for guess in network.description.guesses}
    assert guesses["activation"].value == "ReLU"
    assert "leaves no trace" in guesses["activation"].reason
    assert guesses["strides"].value == "2x2, 2x2"
    assert all(guess.value in guess.options for guess in guesses.values())


def test_learned_slopes_are_no_guess():
    network = recognise_library(monai_unet().state_dict(), {}, name="mine")
    assert "activation" not in {guess.about for guess in network.description.guesses}


def test_nnunets_own_file_names_the_classes():
    labels = {"background": 0, "nuclei": 1}
    facts = {"init_args": {"dataset_json": {"labels": labels}, "configuration": "2d", "plans": {
        "configurations": {"2d": {"normalization_schemes": ["ZScoreNormalization"]}}}}}  # fmt: skip
    network = recognise_library(nnunet().state_dict(), facts, name="mine")
    assert network.description.class_roles == ("background", "cell")
    assert {guess.about for guess in network.description.guesses} == {"activation", "normalization"}
    regions = {"background": 0, "whole": [1, 2], "border": [2]}
    facts["init_args"]["dataset_json"]["labels"] = regions
    network = recognise_library(nnunet().state_dict(), facts, name="mine")
    assert network.description.architecture.meaning.final == "sigmoid"
    assert network.description.architecture.meaning.channels == ("cell", "border")


@pytest.mark.parametrize(
    ("name", "library_name", "extra"),
    [
        ("MONAI UNet", "monai.networks.nets", "monai"),
        ("MONAI BasicUNet", "monai.networks.nets", "monai"),
        ("smp ResNet-18", "segmentation_models_pytorch", "smp"),
        ("nnU-Net 2-D", "dynamic_network_architectures.architectures.unet", "nnunet"),
    ],
)
def test_missing_library_is_named_with_its_extra(name, library_name, extra, monkeypatch):
    weights = MODULES[name]().state_dict()
    monkeypatch.setitem(sys.modules, library_name, None)
    with pytest.raises(CheckpointError) as caught:
        recognise_library(weights, {}, name="mine")
    assert f"pip install napari-unet-cells[{extra}]" in str(caught.value)
    if "MONAI" in name:
        assert str(caught.value) == (
            f"'mine' is a {name}; install it with: pip install napari-unet-cells[monai]"
        )


def test_library_that_does_not_start_is_explained(monkeypatch):
    weights = smp_unet("resnet18", 3).state_dict()

    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(CheckpointError, match=r"does not start \(operator torchvision::nms"):
        recognise_library(weights, {}, name="mine")


def test_encoders_and_attention_that_are_not_supported_are_named():
    weights = smp_unet("mobilenet_v2", 3).state_dict()
    with pytest.raises(CheckpointError, match="ResNet, ResNeXt and VGG are"):
        recognise_library(weights, {}, name="mine")
    weights = smp_unet(
        "resnet18", 3, decoder_channels=(32, 16, 16), decoder_attention_type="scse"
    ).state_dict()
    with pytest.raises(CheckpointError, match="attention"):
        recognise_library(weights, {}, name="mine")


def test_network_that_no_layer_computes_is_refused():
    weights = basic_unet(upsample="pixelshuffle").state_dict()
    with pytest.raises(CheckpointError, match="computes 'reshape'"):
        recognise_library(weights, {}, name="mine")


def test_weights_of_another_shape_than_the_librarys_are_refused():
    weights = dict(nnunet().state_dict())
    weights["encoder.stages.1.0.convs.1.conv.weight"] = torch.zeros(6, 6, 5, 5)
    with pytest.raises(CheckpointError, match="looks like a nnU-Net PlainConvUNet"):
        recognise_library(weights, {}, name="mine")


def test_other_networks_are_left_to_others():
    from napari_unet.engine.networks.unet import UNet, UNetConfig

    state = UNet(UNetConfig(base_width=4, depth=2)).state_dict()
    assert recognise_library(state, {}, name="mine") is None
    assert recognise_library({}, {}, name="mine") is None
    resnet_alone = {"encoder.layer1.0.conv1.weight": torch.zeros(1, 1, 3, 3)}
    assert recognise_library(resnet_alone, {}, name="mine") is None


def test_description_survives_the_file(tmp_path):
    network = recognise_library(nnunet().state_dict(), {}, name="mine")
    again = load_checkpoint(save_checkpoint(network, tmp_path / "mine"))
    assert again.description == dataclasses.replace(network.description)
