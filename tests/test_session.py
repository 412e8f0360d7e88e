"""The session owns the loaded network and the device, and tells who listens."""

import hashlib
from pathlib import Path

import pytest

from napari_unet.engine.base.errors import CheckpointError, TrainingError
from napari_unet.engine.models.checkpoint import save_checkpoint
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.session import Session, read_model, shared_session


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    config = UNetConfig(base_width=2, depth=1)
    network = Network(UNet(config), NetworkDescription("tiny", config))
    return save_checkpoint(network, tmp_path / "tiny")


def test_loading_keeps_the_network_and_tells_listeners(model_file: Path) -> None:
    session, heard = Session(), []
    session.network_loaded.connect(heard.append)

    network = session.load(str(model_file))

    assert network.description.name == "tiny"
    assert heard == [network]
    assert session.network is network
    assert session.source == str(model_file)


def test_a_model_that_cannot_be_loaded_leaves_the_session_as_it_was(model_file: Path) -> None:
    session, heard = Session(), []
    network = session.load(str(model_file))
    session.network_loaded.connect(heard.append)

    with pytest.raises(CheckpointError, match=r"There is no model 'missing\.safetensors'"):
        session.load("missing.safetensors")

    assert session.network is network
    assert session.source == str(model_file)
    assert heard == []


def test_the_file_is_known_by_its_hash_and_size(model_file: Path) -> None:
    session = Session()
    assert (session.file_hash, session.file_bytes) == ("", 0)

    session.load(str(model_file))

    content = model_file.read_bytes()
    assert session.file_hash == hashlib.sha256(content).hexdigest()[:12]
    assert session.file_bytes == len(content)


def test_a_bundled_model_has_a_hash_too() -> None:
    model = read_model("nuclei")
    assert len(model.file_hash) == 12
    assert model.file_bytes > 1_000_000


def test_of_two_models_that_were_asked_for_the_later_one_counts(model_file: Path) -> None:
    session, model = Session(), read_model(str(model_file))
    other = read_model(str(model_file))
    first, second = session.request(), session.request()

    session.adopt_model(other, request=second)
    session.adopt_model(model, request=first)

    assert session.network is other.network


def test_a_model_that_nobody_asked_for_only_fills_an_empty_session(model_file: Path) -> None:
    session, heard = Session(), []
    session.network_loaded.connect(heard.append)
    first, second = read_model(str(model_file)), read_model(str(model_file))

    session.adopt_model(first, request=0)
    session.adopt_model(second, request=0)

    assert session.network is first.network
    assert heard == [first.network]


def test_a_network_from_memory_has_no_file() -> None:
    session, config = Session(), UNetConfig(base_width=2, depth=1)
    network = Network(UNet(config), NetworkDescription("tiny", config))

    session.adopt(network, "")

    assert session.network is network
    assert (session.source, session.file_hash, session.file_bytes) == ("", "", 0)


def test_listeners_hear_of_another_device_once() -> None:
    session, heard = Session(), []
    session.device_changed.connect(heard.append)
    assert session.device == "auto"

    session.choose_device("cpu")
    session.choose_device("cpu")

    assert session.device == "cpu"
    assert heard == ["cpu"]


def test_all_widgets_of_a_process_share_one_session() -> None:
    assert shared_session() is shared_session()
    assert Session().network is None


def test_a_turn_at_training_ends_with_the_work_whichever_way_that_ends() -> None:
    session = Session()
    reports = session.begin_training().during(lambda: iter([1, 2]))
    assert next(reports) == 1
    with pytest.raises(TrainingError, match="A training runs already"):
        session.begin_training()

    reports.close()

    later = session.begin_training()
    later.end()
    session.begin_training()
    later.end()  # that of another one goes on
    with pytest.raises(TrainingError):
        session.begin_training()
