"""A .pt2 file that would run code when loaded is refused before it can."""

import collections
import hashlib
import io
import json
import pickle
import zipfile

import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import program
from gancompress.export.card import Card, ExportSource
from gancompress.nets.layers.norms import InstanceNorm
from gancompress.storage.programs import (
    CONSTANTS,
    MODEL,
    SAMPLES,
    WEIGHTS,
    checked,
    pack,
    stripped,
    unpack,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The records of an honest file, by name."""
    folder = tmp_path_factory.mktemp("pt2")
    # Trainable, and of a norm that would be traced in its training form with gradients on.
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), InstanceNorm(1), nn.Tanh()).eval()
    card = Card({}, 1, 1, (8, 8), 2)
    written = program.write(
        ExportSource(net, Arch.of("toy", {}), card, torch.zeros(1, 1, 8, 8)), folder
    )
    return unpack(written.path.read_bytes(), "x")


def packed(records):
    return pack(records).getvalue()


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def edited(records, name, change):
    document = json.loads(records[name])
    change(document)
    return records | {name: json.dumps(document).encode()}


def test_honest_file_passes_and_runs(records, tmp_path):
    checked(packed(records), "x")
    (tmp_path / "model.pt2").write_bytes(packed(records))
    assert program.load_run(tmp_path / "model.pt2")(torch.zeros(1, 1, 4, 6)).shape == (1, 1, 4, 6)


class Nested(nn.Module):
    """Takes its weights' images, answers with a mapping, as torchvision's networks do."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return collections.OrderedDict(out=self.net(x), aux=[x + 1, (x,)])


def saved_by_torch(net):
    buffer, x = io.BytesIO(), torch.rand(2, 1, 8, 8)
    torch.export.save(torch.export.export(net, (x,)), buffer)
    return buffer.getvalue(), x


def test_programs_of_others_pass_without_what_they_do_not_need():
    net = Nested().eval()
    content, x = saved_by_torch(net)
    with pytest.raises(ExportError, match="pickled sample inputs"):
        checked(content, "x")
    ours = torch.export.load(checked(stripped(content, "x"), "x")).module()(x)
    assert torch.equal(ours["out"], net(x)["out"]) and torch.equal(ours["aux"][0], x + 1)


@pytest.mark.parametrize("kind", ["pickled_weight", "pickled_constant", "evaluated_size"])
def test_programs_of_others_are_refused_for_the_rest(kind, records, tmp_path):
    attack = {one.__name__: one for one in ATTACKS}[kind]
    with pytest.raises(ExportError, match="could run code when loaded"):
        checked(stripped(packed(attack(records, tmp_path / "marker")), "x"), "x")


def test_free_sizes_stand_in_an_order_that_no_process_changes(records):
    """torch writes a set of them, in an order that differs from process to process."""
    ranges = json.loads(records[MODEL])["range_constraints"]
    assert len(ranges) > 2 and list(ranges) == sorted(ranges)
    digest = hashlib.sha256(records[MODEL]).digest()
    assert int(records[program.SERIAL]) == int.from_bytes(digest) % 10**40
    assert len(records[program.SERIAL]) == 40


def pickled_samples(records, marker):
    buffer = io.BytesIO()
    torch.save((Attack(marker),), buffer)
    return records | {SAMPLES: buffer.getvalue()}


def pickled_weight(records, marker):
    buffer = io.BytesIO()
    torch.save(Attack(marker), buffer)
    evil = edited(records, WEIGHTS, lambda d: d["config"]["0.bias"].update(use_pickle=True))
    return evil | {"data/weights/weight_1": buffer.getvalue()}


def pickled_constant(records, marker):
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}

    def change(config):
        config["config"]["c"] = entry | {"tensor_meta": None}

    path = "data/constants/opaque_obj_0"
    return edited(records, CONSTANTS, change) | {path: pickle.dumps(Attack(marker))}


def evaluated_size(records, marker):
    text = records[MODEL].decode()
    honest = "Symbol('s"
    assert honest in text
    code = f"open('{marker}', 'w') and Symbol('s"
    return records | {MODEL: text.replace(honest, code, 1).encode()}


ATTACKS = [pickled_samples, pickled_weight, pickled_constant, evaluated_size]


@pytest.mark.filterwarnings("ignore")  # of the file handle that the attack leaves open
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_works_on_plain_torch_and_is_refused_here(attack, records, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "model.pt2"
    path.write_bytes(packed(attack(records, marker)))
    with pytest.raises(ExportError, match="only programs of torch's own operators"):
        program.load_run(path)
    assert not marker.exists()
    try:
        torch.export.load(path)
    except Exception as error:  # what became of the graph does not matter
        assert error is not None
    assert marker.exists()  # otherwise this test proves nothing


def set_target(target):
    def change(document):
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    return change


@pytest.mark.parametrize(
    "target",
    ["torch.hub.load", "torch.load", "torch.ops.aten.from_file.default", "math.log", "#x:y",
     "torch.ops.higher_order.cond", "_operator.methodcaller", "torch.ops.aten.add.Tensor\n"],
)  # fmt: skip
def test_operator_outside_aten_arithmetic_is_refused(target, records):
    with pytest.raises(ExportError, match=r"x: holds the (operator|text) "):
        checked(packed(edited(records, MODEL, set_target(target))), "x")


@pytest.mark.parametrize(
    "text",
    ["eval('1')", "Integer(eval('1'))", "(eval)('1')", "Integer (1).__class__()", "lambda: 0",
     "Symbol('s0', positive=True, **x)", "a\nimport os", "x; y", "eval#Add\n(1)", "x[f()]",
     '[1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]',
     '[1, {"type": ["builtins.tuple"], "context": "[]", "children_spec": []}]',
     '[1, {"type": "collections.OrderedDict", "context": "[{}]", "children_spec": []}]',
     '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [], "x": 1}]',
     '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{}]}]',
     '[1, {"type": "builtins.tuple", "context": "{\\"__enum__\\": 1}", "children_spec": []}]'],
)  # fmt: skip
def test_text_that_is_more_than_a_size_or_a_name_is_refused(text, records):
    for change in (
        lambda d: d.update(torch_version=text),
        lambda d: d["range_constraints"].update({text: {"min_val": 1, "max_val": 2}}),
        lambda d: d.update(guards_code=[text]),
    ):
        with pytest.raises(ExportError, match="x: holds the text"):
            checked(packed(edited(records, MODEL, change)), "x")


@pytest.mark.parametrize(
    "name",
    ["data/aotinductor/model/lib.so", "data/constants/custom_obj_0", "models/other.json",
     "data/weights/model.pt", "data/constants/model.pt", "data/sample_inputs/other.pt"],
)  # fmt: skip
def test_record_that_export_never_writes_is_refused(name, records):
    with pytest.raises(ExportError, match="x: holds the record"):
        checked(packed(records | {name: b"x"}), "x")


def test_payload_that_is_no_plain_tensor_is_refused(records):
    def change(config):
        config["config"]["0.bias"]["path_name"] = "opaque_obj_0"

    with pytest.raises(ExportError, match="x: holds '0.bias' as 'opaque_obj_0'"):
        checked(packed(edited(records, WEIGHTS, change)), "x")


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, CONSTANTS, SAMPLES])
def test_archive_without_a_needed_record_is_refused(name, records):
    with pytest.raises(ExportError, match="x: no program as `gancompress export` writes it"):
        checked(packed({n: c for n, c in records.items() if n != name}), "x")


def test_file_of_torchs_older_layout_is_refused(records):
    older = {"version": b"8.8", "serialized_exported_program.json": records[MODEL]}
    for kept in (records | older, older):
        with pytest.raises(ExportError, match="x: holds the record"):
            checked(packed(kept), "x")


def test_only_what_was_looked_at_is_loaded(records):
    # Another archive in front, where Python's reader sees past it: torch's own does not.
    with pytest.raises(ExportError, match="x: truncated or not a .pt2 file"):
        checked(packed({"version": b"8.8"}) + packed(records), "x")
    # Another root, other flags, a comment: none of it reaches torch.export.load.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"other/{name}", content)
        archive.comment = b"version"
    assert buffer.getvalue() != packed(records)
    assert checked(buffer.getvalue(), "x").getvalue() == packed(records)


def test_damaged_graph_is_refused(records):
    for content in (b"", b"{", b"[1]", b'{"config": 3}'):
        for name in (MODEL, WEIGHTS, CONSTANTS):
            if (name, content) == (MODEL, b"[1]") or (name, content[:9]) == (MODEL, b'{"config"'):
                continue  # well-formed and harmless; torch itself refuses it
            with pytest.raises(ExportError, match="x: a damaged program"):
                checked(packed(records | {name: content}), "x")


def test_graph_that_torch_cannot_read_is_one_sentence(records, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(packed(records | {MODEL: b"{}"}))
    with pytest.raises(ExportError, match=r"model.pt2: torch .* cannot read this program"):
        program.load_run(path)


def test_manifest_of_a_foreign_program_is_missed(records, tmp_path):
    foreign = {name: content for name, content in records.items() if "extra" not in name}
    path = tmp_path / "model.pt2"
    path.write_bytes(packed(foreign))
    with pytest.raises(ExportError, match="no gancompress manifest"):
        program.load_run(path)
