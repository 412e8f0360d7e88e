"""What a network knows, and keeps: banks of labelled images, what it said before, the verdict."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet import (
    TrainingPair,
    TrainingSettings,
    annotated_pair,
    evaluate,
    load_checkpoint,
    segment,
    train,
)
from napari_unet.engine.base.errors import FileError
from napari_unet.engine.labels.cell_types import TypeEvaluation
from napari_unet.engine.networks.bundled import BUNDLED_MODELS, bank_file
from napari_unet.engine.networks.network import Network, NetworkDescription
from napari_unet.engine.networks.unet import UNet, UNetConfig
from napari_unet.engine.training.knowledge import before, judging
from napari_unet.engine.training.knowledge.bank import (
    Bank,
    BankImage,
    bank_of,
    known_bank,
    read_bank,
    write_bank,
)
from napari_unet.engine.training.knowledge.judging import judge
from napari_unet.engine.training.knowledge.resemblance import resembling
from napari_unet.engine.training.knowledge.verdict import Judged, Verdict
from napari_unet.engine.training.prepared import normalised
from napari_unet.engine.training.settings import NO_AUGMENTATION
from napari_unet.files.images import read_image, read_labels

SAMPLES = Path(__file__).parents[3] / "src" / "napari_unet" / "bundled" / "samples"
CONFIG = UNetConfig(base_width=4, depth=2, classes=3)
TINY = NetworkDescription("tiny", CONFIG, ("background", "cell", "border"))
QUICK = TrainingSettings(
    steps=30, batch_size=4, patch_size_px=32, warmup_steps=2, precision="float32",
    validation_interval=0, learning_rate=1e-2, adapt_norms=False,
)  # fmt: skip


def start() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(UNet(CONFIG), TINY)


def discs(seed: int = 0, radius: int = 6) -> TrainingPair:
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:48, :56]
    labels = np.zeros((48, 56), np.uint16)
    for number, (row, column) in enumerate([(12, 12), (12, 25), (34, 18), (32, 44)], 1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return TrainingPair(100 * (labels > 0) + rng.normal(20, 5, labels.shape), labels)


def of_discs(seed: int) -> Bank:
    pair = discs(seed)
    return Bank((BankImage("discs", "learn", pair.image, np.asarray(pair.labels)),))


def sample(name: str) -> TrainingPair:
    image = read_image(SAMPLES / "images" / f"{name}.png").array
    return TrainingPair(image, read_labels(SAMPLES / "labels" / f"{name}.tif").array, name)


# -- banks ---------------------------------------------------------------------------------------


def test_bank_comes_back_from_its_file(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 70_000, (8, 9)).astype(np.int32)
    images = (
        BankImage("grey", "learn", rng.integers(0, 255, (8, 9), np.uint8), labels % 9, "a"),
        BankImage("16 bit", "judge", rng.integers(0, 60_000, (8, 9), np.uint16), labels),
        BankImage("colour", "learn", rng.integers(0, 255, (8, 9, 3), np.uint8), labels % 300),
        BankImage("float", "learn", rng.normal(size=(8, 9)), labels * 0),
    )
    write_bank(Bank(images), tmp_path / "x.bank.zip")
    back = read_bank(tmp_path / "x.bank.zip")
    for one, other in zip(images, back.images, strict=True):
        assert (one.kind, one.use, one.name) == (other.kind, other.use, other.name)
        assert np.array_equal(one.image, other.image)
        assert one.image.dtype == other.image.dtype
        assert np.array_equal(one.labels, other.labels)
    assert [pair.name for pair in back.pairs("judge")] == ["16 bit"]


def test_lossy_bank_keeps_grey_images_grey_and_labels_exact(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    labels = (ramp > 90).astype(np.int32)
    colours = np.stack([ramp, ramp[::-1], ramp.T], -1)
    bank = Bank((BankImage("a", "learn", ramp, labels), BankImage("b", "learn", colours, labels)))
    write_bank(bank, tmp_path / "x.bank.zip", lossy=True)
    grey, colour = read_bank(tmp_path / "x.bank.zip").images
    assert grey.image.shape == (64, 64)
    assert np.abs(grey.image.astype(int) - ramp).mean() < 3
    assert colour.image.shape == (64, 64, 3)
    assert np.array_equal(colour.labels, labels)


@pytest.mark.parametrize("content", [b"no zip", None])
def test_broken_bank_is_told_in_one_sentence(tmp_path, content):
    path = tmp_path / "x.bank.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("index.json", '[{"kind": "a", "use": "learn"}]')
    else:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"x\.bank\.zip' is no bank of images .*; delete it"):
        read_bank(path)


@pytest.mark.parametrize("model", BUNDLED_MODELS, ids=lambda row: row.name)
def test_bundled_models_bring_images_to_learn_again_and_others_to_judge_by(model):
    bank = read_bank(bank_file(model.file))
    names = {use: {each.name for each in bank.images if each.use == use} for use in bank_uses(bank)}
    assert set(names) == {"learn", "judge"}
    assert not names["learn"] & names["judge"]
    assert all(each.labels.max() > 0 for each in bank.images)
    assert {each.kind for each in bank.images if each.use == "judge"} >= {
        each.kind for each in bank.images if each.use == "learn"
    }
    assert bank_file(model.file).stat().st_size < 4e6


def bank_uses(bank: Bank) -> set[str]:
    return {each.use for each in bank.images}


def test_what_a_model_learned_from_is_known_to_those_that_go_on_from_it(tmp_path):
    pair = discs()
    reviewed = np.zeros(pair.labels.shape, bool)
    reviewed[:20, :20] = True
    colours = np.stack([pair.image] * 3)
    pairs = [
        dataclasses.replace(pair, reviewed=reviewed, name="part"),
        dataclasses.replace(pair, image=colours, channel_axis=0),
    ]
    model = tmp_path / "mine.safetensors"
    write_bank(bank_of(pairs), bank_file(model))
    part, whole = known_bank(TINY, model).pairs("learn")
    assert np.array_equal(part.checked_labels(), pairs[0].checked_labels())
    assert np.array_equal(whole.image, np.moveaxis(colours, 0, -1))
    for old, new in zip(pairs, (part, whole), strict=True):
        read = [normalised(each, TINY) for each in (old, new)]
        assert torch.allclose(*read, atol=0.02)


def test_network_of_others_has_no_bank():
    assert known_bank(TINY).images == ()
    assert len(known_bank(load_checkpoint("nuclei-0.1.0").description).images) > 50


# -- resemblance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["histology", "fluorescence"])
def test_images_that_look_like_the_new_ones_are_drawn_most(name):
    description = load_checkpoint("nuclei").description
    bank = known_bank(description).pairs("learn")
    weighed = resembling(bank, [sample(name)], description)
    weights = {
        kind: np.mean([pair.weight for pair in weighed if pair.name == kind])
        for kind in ("histology", "fluorescence", "brightfield")
    }
    assert max(weights, key=weights.__getitem__) == name
    assert np.mean([pair.weight for pair in weighed]) == pytest.approx(1)
    assert min(pair.weight for pair in weighed) >= 0.25


def test_bank_is_drawn_evenly_for_a_kind_that_is_not_known():
    description = load_checkpoint("nuclei").description
    bank = known_bank(description).pairs("learn")[::10]
    weighed = resembling(bank, [sample("fluorescence")], description, familiar=0.0)
    assert [pair.weight for pair in weighed] == pytest.approx([1.0] * len(bank))


def test_nothing_resembles_an_empty_bank():
    assert resembling((), [discs()], TINY) == []


# -- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("familiar", "new"), [(1.0, 2), (0.0, 3)])
def test_half_of_a_batch_shows_what_is_known_of_a_new_kind_a_quarter(monkeypatch, familiar, new):
    monkeypatch.setattr(before, "familiarity", lambda *_: familiar)
    settings = dataclasses.replace(QUICK, bank_share=0.5)
    run = train([discs()], start(), settings=settings, bank=of_discs(5), device="cpu")
    batch = run.next_batch()
    assert len(batch.images) == len(batch.target) == 4
    assert batch.new == new
    assert len(batch.before) == len(batch.held) == 0  # everything counts
    weights = batch.balanced_weights
    assert float(weights[:new].sum()) == pytest.approx(new / 4)
    assert float(weights[new:].sum()) == pytest.approx(1 - new / 4)


def test_new_network_learns_nothing_again():
    settings = dataclasses.replace(QUICK, bank_share=0.5)
    run = train([discs()], settings=settings, description=TINY, bank=of_discs(5), device="cpu")
    assert run.next_batch().new == 4


def test_bundled_images_are_learned_again_where_none_are_given():
    settings = dataclasses.replace(QUICK, bank_share=0.5)
    run = train([discs()], load_checkpoint("nuclei"), settings=settings, device="cpu")
    assert len(run._patches._bank) > 50
    assert run.next_batch().new == 2


def test_pixels_that_do_not_count_are_held_where_the_network_knows_such_images(monkeypatch):
    pair = discs()
    reviewed = np.zeros(pair.labels.shape, bool)
    reviewed[:, :28] = True
    half = dataclasses.replace(pair, reviewed=reviewed)

    def change(keep: float, strength: float) -> float:
        monkeypatch.setattr(before, "familiarity", lambda *_: strength)
        settings = dataclasses.replace(QUICK, keep_knowledge=keep)
        network = start()
        run = train([half], network, settings=settings, device="cpu")
        list(run)
        old, new = (segment(pair.image, each).scores for each in (network, run.latest))
        return float(np.abs(old - new)[:, :, 36:].mean())

    free = change(0.0, 1.0)
    assert change(4.0, 1.0) < 0.6 * free
    assert change(4.0, 0.0) == pytest.approx(free, rel=1e-3)


def test_what_was_said_before_lies_where_it_was_said(monkeypatch):
    pair = discs()
    reviewed = np.zeros(pair.labels.shape, bool)
    reviewed[10:18, 22:28] = True
    settings = dataclasses.replace(
        QUICK, keep_knowledge=1.0, patch_size_px=16, augmentation=NO_AUGMENTATION
    )
    network = start()
    everywhere = torch.from_numpy(segment(pair.image, network).scores)
    run = train(
        [dataclasses.replace(pair, reviewed=reviewed)], network, settings=settings, device="cpu"
    )
    run._patches.hold([before.Before(everywhere[:, 5:, 7:], 1.0, (5, 7))], ())
    part = run.next_batch()
    run._patches.hold([before.Before(everywhere, 1.0, (0, 0))], ())
    whole = run.next_batch()
    held = part.held > 0
    assert held.any()
    assert torch.allclose(part.before.movedim(1, -1)[held], whole.before.movedim(1, -1)[held])
    assert not (held & (whole.held == 0)).any()


def test_what_is_known_is_held_to_what_was_said_of_it_wherever_it_is_labelled(monkeypatch):
    monkeypatch.setattr(before, "familiarity", lambda *_: 1.0)
    settings = dataclasses.replace(QUICK, bank_share=0.5, keep_knowledge=1.0)
    network, bank = start(), of_discs(5)
    batch = train([discs()], network, settings=settings, bank=bank, device="cpu").next_batch()
    new, known = batch.held[: batch.new], batch.held[batch.new :]
    assert not new.any()  # everything counts
    assert (known[batch.weights[batch.new :] > 0] == 1).all()
    image = bank.pairs("learn")[0].image
    said = torch.from_numpy(segment(np.asarray(image), network).scores)
    assert batch.before[batch.new :].mean((0, 2, 3)) == pytest.approx(said.mean((1, 2)), abs=0.05)


def test_known_and_unknown_images_are_told_apart():
    network = load_checkpoint("nuclei")
    how = {"around_px": 192, "device": "cpu", "should_stop": lambda: False}
    for name, least, most in (("fluorescence", 0.5, 1.0), ("dic", 0.0, 0.0)):
        pair = sample(name)
        centre = np.zeros(pair.labels.shape, bool)
        centre[200:220, 300:320] = True
        part = dataclasses.replace(pair, reviewed=centre)
        (said,) = before.said_before([part], network, **how)
        assert least <= said.strength <= most
        assert said.start == (8, 108)
        assert said.scores.shape == (3, min(404, pair.labels.shape[0] - 8), 404)
    assert before.said_before([pair], network, **how) == [None]
    assert before.said_before([part], network, **how | {"should_stop": lambda: True}) == [None]


# -- sizes ---------------------------------------------------------------------------------------


def described_after(pair: TrainingPair) -> NetworkDescription:
    run = train([pair], start(), settings=dataclasses.replace(QUICK, steps=1), device="cpu")
    return run.network.description


def test_specks_are_smaller_than_labelled_cells_are():
    area = int((discs().labels == 1).sum())
    least = described_after(discs()).instances.min_size_px
    assert 0.2 * area < least < 0.8 * area


def test_a_small_cell_that_was_labelled_is_never_taken_for_a_speck():
    pair = discs()
    labels = np.array(pair.labels)
    labels[40:43, 5:8] = 9
    least = described_after(TrainingPair(pair.image, labels)).instances.min_size_px
    assert least <= 0.8 * 9


# -- the verdict ---------------------------------------------------------------------------------


def evaluation(right: int, wrong: int) -> object:
    truth = np.repeat(np.arange(1, right + wrong + 1), 4).reshape(1, -1)
    return evaluate([truth], [np.where(truth <= right, truth, 0)])


def judged(labelled: tuple[int, int], known: float, held_out: int | None = None) -> Judged:
    right, count = labelled
    rows = np.array([[1.0, 100 * known, 100.0]] * 20)
    rows[:, 1] += np.tile([-3, 3], 10)
    return Judged(
        start(),
        labelled,
        evaluation(right, count - right),
        rows,
        None if held_out is None else evaluation(held_out, 40 - held_out),
    )


def verdict_of(**found: Judged) -> Verdict:
    return Verdict(found, "nuclei")


def test_what_finds_more_and_forgets_nothing_is_kept():
    found = verdict_of(
        before=judged((3, 15), 0.7), after=judged((12, 15), 0.71), halfway=judged((6, 15), 0.7)
    )
    assert found.chosen == "after"
    assert found.sentence.startswith(
        "On your images 12 of 15 labelled cells are right, 3 before, better on 20 reference images"
    )
    assert found.sentence.endswith("keep it.")


def test_types_that_were_learned_are_kept_though_no_outline_is_mended():
    before = dataclasses.replace(
        judged((12, 15), 0.7), types=TypeEvaluation({("a", "a"): 6, ("b", "a"): 6})
    )
    learned = TypeEvaluation({("a", "a"): 5, ("a", "b"): 1, ("b", "b"): 6})
    after = dataclasses.replace(judged((12, 15), 0.7), types=learned)
    forgot = dataclasses.replace(judged((12, 15), 0.6), types=learned)

    found = verdict_of(before=before, after=after, halfway=before)
    assert found.chosen == "after"
    assert "12 of 15 labelled cells are right, 12 before, 11 of 12 of the right type" in (
        found.sentence
    )
    assert verdict_of(before=before, after=forgot, halfway=before).chosen == "before"


def test_half_of_it_is_kept_where_all_of_it_forgets():
    found = verdict_of(
        before=judged((3, 15), 0.7), after=judged((12, 15), 0.6), halfway=judged((9, 15), 0.698)
    )
    assert found.chosen == "halfway"
    assert found.sentence.startswith("Half of the change is kept, which is better: on your images")


def test_nothing_is_kept_where_both_forget():
    found = verdict_of(
        before=judged((3, 15), 0.7), after=judged((12, 15), 0.6), halfway=judged((9, 15), 0.65)
    )
    assert found.chosen == "before"
    assert "not better than 'nuclei', which stays" in found.sentence
    assert "worse on 20 reference images (AP 0.5 0.60, 0.70 before" in found.sentence


def test_nothing_is_kept_that_mends_next_to_nothing_of_a_known_kind():
    found = {
        "before": judged((7, 18), 0.7),
        "after": judged((15, 18), 0.6),
        "halfway": judged((9, 18), 0.7),
    }
    assert verdict_of(**found).chosen == "before"
    assert Verdict(found, "nuclei", knew=False).chosen == "halfway"
    assert verdict_of(**found | {"halfway": judged((10, 18), 0.7)}).chosen == "halfway"
    right = {choice: judged((18, 18), 0.7 + 0.01 * (choice == "after")) for choice in found}
    assert verdict_of(**right).chosen == "after"


def test_images_of_a_new_kind_may_cost_a_little_of_others():
    found = {
        "before": judged((0, 15), 0.7),
        "after": judged((12, 15), 0.67),
        "halfway": judged((3, 15), 0.7),
    }
    assert Verdict(found, "nuclei", knew=False).chosen == "after"
    assert "worse on 20 reference images of other kinds" in Verdict(found, "", knew=False).sentence
    found["halfway"] = judged((12, 15), 0.7)
    assert Verdict(found, "nuclei", knew=False).chosen == "after"
    assert Verdict(found, "nuclei", knew=True).chosen == "halfway"


def test_nothing_is_kept_that_finds_less_of_what_was_held_out():
    found = verdict_of(
        before=judged((3, 15), 0.7, 30),
        after=judged((9, 15), 0.7, 25),
        halfway=judged((3, 15), 0.7, 29),
    )
    assert found.chosen == "before"


def test_a_damaged_network_is_refused_and_the_same_one_changes_nothing():
    network = load_checkpoint("nuclei")
    noise = torch.Generator().manual_seed(0)
    damaged = dataclasses.replace(network.description)
    unet = load_checkpoint("nuclei").unet
    weights = {
        key: value + 0.3 * value.std() * torch.randn(value.shape, generator=noise)
        if value.ndim == 4
        else value
        for key, value in unet.state_dict().items()
    }
    unet.load_state_dict(weights)
    bank = known_bank(network.description).pairs("judge")[::9]
    pair = sample("crowded")
    corner = np.zeros(pair.labels.shape, bool)
    corner[:60, :60] = True
    found = judge(
        network,
        Network(unet, damaged),
        [dataclasses.replace(pair, reviewed=corner)],
        bank,
        [],
        device="cpu",
        should_stop=lambda: False,
    )
    assert found.is_worse("after")
    assert found.chosen != "after"
    before = found.judged["before"]
    assert before.network is network
    again = judge(
        network,
        network,
        [pair],
        bank[:1],
        [],
        device="cpu",
        should_stop=lambda: False,
    )
    assert again.judged["after"].corrected == again.judged["before"].corrected
    assert np.array_equal(again.judged["after"].known, again.judged["before"].known)


def test_the_same_share_of_cells_is_kept_when_confidence_falls():
    seen = [
        judging._Seen(discs(), np.zeros((1, 1), np.int32), np.linspace(0.5, 1, 101), 1.0, None),
    ]
    share = judging._share_kept(seen, 0.8)
    assert judging._least_for(seen, share, 0.798) == 0.798
    fallen = [dataclasses.replace(seen[0], sureness=seen[0].sureness - 0.3)]
    assert judging._least_for(fallen, share, 0.8) == pytest.approx(0.4975)


def test_of_many_labelled_images_those_with_corrections_are_judged_first(monkeypatch):
    monkeypatch.setattr(judging, "_MOST_PX", 2 * discs().labels.size)
    corrected = dataclasses.replace(discs(1), corrected=np.ones((48, 56), bool), name="corrected")
    chosen = judging._few_enough([discs(2), discs(3), corrected])
    assert [pair.name for pair in chosen] == ["corrected", "image"]


def test_verdict_can_be_stopped():
    network = load_checkpoint("nuclei")
    found = judge(
        network,
        network,
        [sample("crowded")],
        [],
        [],
        device="cpu",
        should_stop=lambda: True,
    )
    assert found is None


def test_painted_cells_alone_are_judged_as_far_as_they_go():
    network = load_checkpoint("nuclei")
    pair = sample("crowded")
    painted = np.where(pair.labels == pair.labels.max(), pair.labels, 0)
    some = annotated_pair(pair.image, painted, unlabelled="ignore")
    found = judge(
        network,
        network,
        [some],
        [],
        [],
        device="cpu",
        should_stop=lambda: False,
    )
    assert found.judged["before"].corrected[1] == 1
    assert found.judged["before"].known_precision == 1
