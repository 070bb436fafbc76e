"""An exported folder, used: alone, offline, and with the numbers of the evaluation."""

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import cxrpt
from cxrpt.checkpoint.export import load_exported
from cxrpt.data.sample import Kind
from cxrpt.data.text import select_text
from cxrpt.errors import InputError
from cxrpt.eval.features import image_features, pair_vectors, run_model
from cxrpt.eval.regenerate import predict
from cxrpt.eval.samples import SplitFolder, choose, plain_example, read, square_image
from cxrpt.export.write_package import write_package

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["plain", "contrast"])
def packaged(request, make_run, tmp_path_factory):
    """The checkpoint and its export, of a model without and with a contrastive head."""
    root = tmp_path_factory.mktemp(f"pretrained-{request.param}")
    words = ("objective.itc_weight=1", "objective.split_pairs=0.5") if request.param == "contrast" else ()
    run = make_run(root / "run", *words)
    write_package(run, root / "model")
    return run / "checkpoints" / "step-00000010", root / "model"


@pytest.fixture(scope="module")
def pairs(shards):
    folder = SplitFolder("north", tuple((shards / "north" / "test").glob("*.tar")))
    return folder, [raw for _, raw in read(choose([folder], (Kind.PAIR,), 100), Counter())]


def texts_of(raws, model):
    return [select_text(raw.text, raw.meta.sections, model.sections) for raw in raws]


def test_embeddings_are_those_of_the_evaluation(packaged, pairs):
    checkpoint, folder = packaged
    split, raws = pairs
    exported, model = load_exported(checkpoint), cxrpt.load_pretrained(folder, batch=7)
    images, texts = [raw.image for raw in raws], texts_of(raws, model)
    expected = pair_vectors(exported, [split], 100, 5)
    assert expected.contrastive == model.contrastive
    for found, wanted in ((model.embed_images(images), expected.image_ID), (model.embed_texts(texts), expected.text_ID)):
        assert found.shape == (20, model.width) and found.dtype == np.float32
        if not model.contrastive:  # as its docstring says
            found = found - found.mean(0)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    probed = image_features(exported, [split], 100, 5).features["model"]
    np.testing.assert_allclose(model.image_features(images), probed, atol=1e-5)


def test_a_pair_is_one_sequence_and_both_halves_count_the_same(packaged, pairs):
    model, (_, raws) = cxrpt.load_pretrained(packaged[1]), pairs
    exported = model.exported
    for raw, text in zip(raws[:3], texts_of(raws[:3], model), strict=True):
        pixels, tokens = square_image(raw, exported), exported.tokenizer.encode(text)
        example = plain_example(pixels, tokens, exported.model.shape.patch_size)
        states = run_model(exported, [example])[0].numpy()
        patches = len(example.patches)
        assert len(states) == 2 + patches + len(tokens), "summary, patches, summary, words"
        expected = (states[1 : 1 + patches].mean(0) + states[2 + patches :].mean(0)) / 2
        np.testing.assert_allclose(model.embed_pairs([raw.image], [text])[0], expected, atol=1e-5)


def test_an_embedding_depends_on_its_own_picture_and_text_only(packaged, pairs):
    _, raws = pairs
    model = cxrpt.load_pretrained(packaged[1])
    images, texts = [raw.image for raw in raws], texts_of(raws, model)
    texts[3] = "One word more, so that lengths differ."
    for embed, columns in (
        (model.embed_images, (images,)),
        (model.embed_texts, (texts,)),
        (model.embed_pairs, (images, texts)),
    ):
        together, again = embed(*columns), embed(*columns)
        np.testing.assert_array_equal(together, again)
        alone = np.concatenate([embed(*([item] for item in row)) for row in zip(*columns, strict=True)])
        np.testing.assert_allclose(together, alone, atol=2e-6)
        order = np.arange(len(images))[::-1]
        turned = embed(*([column[n] for n in order] for column in columns))
        np.testing.assert_allclose(together[order], turned, atol=2e-6)
    assert np.abs(np.diff(model.embed_images(images), axis=0)).max(1).min() > 1e-4, "different pictures look alike"
    one = model.embed_pairs(images[:1], texts[:1])
    for other in (model.embed_pairs(images[1:2], texts[:1]), model.embed_pairs(images[:1], ["Other words."])):
        assert np.abs(one - other).max() > 1e-4, "a half of the pair is not looked at"


def test_a_picture_is_the_same_as_array_bytes_and_file(packaged, tmp_path):
    model = cxrpt.load_pretrained(packaged[1])
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)
    deep = (pixels.astype(np.uint16) << 8) + 77
    for name, array in (("a.png", pixels), ("b.png", deep)):
        assert cv2.imwrite(str(tmp_path / name), array)
    same = [pixels, deep, tmp_path / "a.png", str(tmp_path / "b.png"), (tmp_path / "a.png").read_bytes()]
    found = model.embed_images(same)
    np.testing.assert_allclose(found, np.repeat(found[:1], len(same), 0), atol=2e-6)
    assert model.embed_images([]).shape == (0, model.width) and model.image_features([]).shape == (0, 2 * model.width)


@pytest.mark.parametrize(
    ("method", "arguments", "told"),
    [
        ("embed_images", lambda good: ([good, good.astype(float)],), "image 1 is an array of float64"),
        ("embed_images", lambda good: ([np.dstack([good] * 3)],), "image 0 is an array of uint8 (32, 32, 3)"),
        ("embed_images", lambda good: ([np.empty((0, 4), np.uint8)],), "image 0 is an array"),
        ("embed_images", lambda good: (good,), "images is a single one"),
        ("embed_images", lambda good: ("a.png",), "images is a single one"),
        ("embed_images", lambda good: ([good, "/nowhere/DOE.png"],), "image 1 cannot be read (No such file"),
        ("embed_images", lambda good: ([None],), "image 0 is a NoneType: hand over"),
        ("embed_images", lambda good: ([7],), "image 0 is a int: hand over"),
        ("embed_images", lambda good: ([b"DICM"],), "image 0 does not decode"),
        ("embed_images", lambda good: ([good.astype(np.uint16)],), "image 0 has 16 bits and is all but black"),
        ("embed_images", lambda good: ([cv2.imencode(".png", good.astype(np.uint16))[1].tobytes()],), "image 0 has 16 bits"),
        ("embed_texts", lambda good: ("one text",), "texts is a single one"),
        ("embed_texts", lambda good: (["a", " "],), "text 1 is empty"),
        ("embed_texts", lambda good: ([b"a"],), "text 0 is a bytes"),
        ("embed_pairs", lambda good: ([good], ["a", "b"]), "1 images and 2 texts"),
    ],
)  # fmt: skip
def test_what_cannot_be_embedded_is_told_in_one_line(packaged, method, arguments, told):
    model = cxrpt.load_pretrained(packaged[1])
    good = np.full((32, 32), 200, np.uint8)
    with pytest.raises(InputError) as error:
        getattr(model, method)(*arguments(good))
    assert told in str(error.value) and "\n" not in str(error.value) and "DOE" not in str(error.value)


ALONE = """
    import importlib.util, socket, sys

    REFUSED = "deepspeed mlflow submitit webdataset wids pydicom sklearn skimage pandas pyarrow matplotlib typer rich launch"

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in REFUSED.split():
                return importlib.util.spec_from_loader(name, self)

        def create_module(self, spec):
            raise ImportError(f"{spec.name} is not installed here")

    def refuse(*arguments, **options):
        raise OSError("there is no network here")

    sys.meta_path.insert(0, Refuse())
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
    import cxrpt

    assert "torch" not in sys.modules and "numpy" not in sys.modules, "import cxrpt must stay light"
    model = cxrpt.load_pretrained(sys.argv[1])
    image, text = model.embed_images([sys.argv[2]]), model.embed_texts(["There is a bright opacity."])
    pair = model.embed_pairs([sys.argv[2]], ["There is a bright opacity."])
    assert image.shape == text.shape == pair.shape == (1, model.width)
    sys.stdout.buffer.write(image.tobytes() + text.tobytes() + pair.tobytes())
"""


def test_without_deepspeed_mlflow_or_a_network(packaged, tmp_path):
    picture = tmp_path / "chest.png"
    cv2.imwrite(str(picture), np.random.default_rng(1).integers(0, 256, (80, 80), dtype=np.uint8))
    command = [sys.executable, "-P", "-c", textwrap.dedent(ALONE), str(packaged[1]), str(picture)]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    model, text = cxrpt.load_pretrained(packaged[1]), ["There is a bright opacity."]
    expected = [model.embed_images([picture]), model.embed_texts(text), model.embed_pairs([picture], text)]
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), np.concatenate(expected).ravel(), atol=2e-6)


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'load_pretrianed'"):
        cxrpt.load_pretrianed  # noqa: B018


def amplified(folder):
    """The exported model with patches told apart: fresh weights make nearly the same gray of all."""
    model = cxrpt.load_pretrained(folder)
    model.module.mvm_heads["1"][-1].weight.mul_(40)
    return model


def test_regenerated_patches_are_those_of_the_evaluation_and_come_from_what_is_visible(packaged, pairs):
    model, (_, raws) = amplified(packaged[1]), pairs
    image, text = raws[0].image, texts_of(raws[:1], model)[0]
    seen = model.as_seen([image])[0]
    hidden = np.zeros((model.grid, model.grid), bool)
    hidden[1, 2:4] = True
    pixels = np.kron(hidden, np.ones((model.image_size // model.grid,) * 2, bool))
    for words, tokens in ((None, None), (text, model.exported.tokenizer.encode(text))):
        made = model.regenerate(image, hidden, words)
        assert made.shape == seen.shape == (64, 64) and made.dtype == seen.dtype == np.uint8
        np.testing.assert_array_equal(made[~pixels], seen[~pixels])
        groups = predict(model.exported, [seen], [hidden], [tokens])[0][1]
        side = model.image_size // model.grid
        for patch, (row, column) in zip(groups, ((1, 2), (1, 3)), strict=True):
            part = made[row * side : (row + 1) * side, column * side : (column + 1) * side]
            np.testing.assert_allclose(part, 255 * patch.reshape(side, side), atol=0.5001)
    other = seen.copy()
    other[pixels] = 255 - seen[pixels]
    np.testing.assert_array_equal(model.regenerate(other, hidden), model.regenerate(seen, hidden), "looks under the mask")
    other[~pixels] //= 2
    assert (model.regenerate(other, hidden) != model.regenerate(seen, hidden))[pixels].any(), "what is visible does not count"
    assert (model.regenerate(seen, hidden, text) != model.regenerate(seen, hidden))[pixels].any(), "the report does not count"


def test_nothing_and_everything_can_be_hidden(packaged, pairs):
    model, image = amplified(packaged[1]), pairs[1][0].image
    nothing = np.zeros((model.grid, model.grid), bool)
    np.testing.assert_array_equal(model.regenerate(image, nothing), model.as_seen([image])[0])
    black = np.zeros((model.image_size,) * 2, np.uint8)
    np.testing.assert_array_equal(model.regenerate(image, ~nothing), model.regenerate(black, ~nothing))


@pytest.mark.parametrize(
    ("hidden", "text", "told"),
    [
        (np.zeros((4, 4), np.uint8), None, "hidden is uint8 (4, 4): hand over an array of bool of shape (4, 4)"),
        (np.zeros((64, 64), bool), None, "hidden is bool (64, 64)"),
        ([[True]], None, "hidden is list"),
        (np.zeros((4, 4), bool), " ", "text 0 is empty"),
        (np.zeros((4, 4), bool), b"a", "text 0 is a bytes"),
    ],
)
def test_what_cannot_be_regenerated_is_told_in_one_line(packaged, hidden, text, told):
    model = cxrpt.load_pretrained(packaged[1])
    with pytest.raises(InputError) as error:
        model.regenerate(np.full((32, 32), 200, np.uint8), hidden, text)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_model_of_normalised_targets_gives_no_picture(make_run, tmp_path):
    write_package(make_run(tmp_path / "run", "objective.normalize_targets=true"), tmp_path / "model")
    model = cxrpt.load_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="normalised targets"):
        model.regenerate(np.full((32, 32), 200, np.uint8), np.ones((model.grid, model.grid), bool))


def test_features_to_train_are_those_of_the_probe_and_training_changes_every_method(packaged, pairs):
    model, images = cxrpt.load_pretrained(packaged[1]), [raw.image for raw in pairs[1][:5]]
    assert not any(weight.requires_grad for weight in model.module.parameters())
    squares, before = model.as_seen(images), model.image_features(images)
    assert squares.shape == (5, 64, 64) and model.as_seen([]).shape == (0, 64, 64)
    model.module.requires_grad_(True)
    found = model.trainable_features(squares)
    np.testing.assert_allclose(found.detach().numpy(), before, atol=1e-5)
    # Not the sum: a layer norm comes last.
    found.pow(3).sum().backward()
    gradients = {name: weight.grad for name, weight in model.module.named_parameters() if weight.grad is not None}
    trained = {name.split(".")[0] for name, gradient in gradients.items() if gradient.any()}
    assert trained == {"image", "transformer"}, "all that pictures go through, and nothing else"
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if name.split(".")[0] in trained:
                weight -= 0.1 * gradients[name] / gradients[name].norm().clamp(min=1e-9)
    assert np.abs(model.image_features(images) - before).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "told"), [({"batch": 0}, "1 or more"), ({"device": "tpu9"}, "device='tpu9' cannot be used")]
)
def test_options_that_cannot_be_used_are_one_clear_line(packaged, options, told):
    with pytest.raises(InputError, match=told) as caught:
        cxrpt.load_pretrained(packaged[1], **options)
    assert "\n" not in str(caught.value)
