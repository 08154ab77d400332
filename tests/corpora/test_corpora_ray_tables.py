"""`MimiEncode` and `MimiDecode` on Arrow tables, and the room that actors need: without Ray itself."""

from pathlib import Path

import numpy as np
import pyarrow
import pytest

import mimi_codec
from corpus import K, ids_of
from mimi_codec import read_audio
from mimi_codec.errors import ConfigError, MimiError
from mimi_codec.ray import MimiDecode, MimiEncode, room


@pytest.fixture(scope="module")
def paths(clips):
    return [str(clips / name) for name in sorted(ids_of(clips))][:7]


@pytest.fixture(scope="module")
def encode(quick):
    return MimiEncode(quick, num_codebooks=K)


def arrays(table, column="codes"):
    return [None if cell is None else np.array(cell) for cell in table[column].to_pylist()]


def test_paths(encode, quick, paths):
    table = encode(pyarrow.table({"id": range(7), "path": paths, "text": ["hello"] * 7}))
    names = ["id", "path", "text", "sha256", "channel", "codes", "num_frames", "num_samples", "warning", "error"]
    assert table.column_names == names
    assert table.schema.field("codes").type == pyarrow.list_(pyarrow.list_(pyarrow.uint16()))
    for path, codes, samples in zip(paths, arrays(table), table["num_samples"].to_pylist(), strict=True):
        pcm = read_audio(path, 24000)
        np.testing.assert_array_equal(codes, quick.encode(pcm, num_codebooks=K))
        assert samples == len(pcm)


def test_every_kind_of_sound(quick, paths):
    wanted = [quick.encode(read_audio(path, 24000), num_codebooks=K) for path in paths]
    data = [Path(path).read_bytes() for path in paths]
    pcm = [read_audio(path, 24000) for path in paths]
    stereo = [[sound.tolist(), sound.tolist()] for sound in pcm]
    columns = {
        "bytes": pyarrow.array(data),
        "audio": pyarrow.array([{"bytes": sound, "path": None} for sound in data]),
        "array": pyarrow.array(pcm),
        "amplitude": pyarrow.array(stereo),
    }
    for name, column in columns.items():
        table = MimiEncode(quick, column=name, num_codebooks=K)(pyarrow.table({name: column}))
        assert name not in table.column_names, "samples and bytes would be carried on"
        for codes, expected in zip(arrays(table), wanted, strict=True):
            np.testing.assert_array_equal(codes, expected)


def test_samples_of_another_rate(quick, paths):
    pcm = read_audio(paths[0], 16000)
    table = pyarrow.table({"array": [pcm], "sampling_rate": [16000]})
    (codes,) = arrays(MimiEncode(quick, column="array", num_codebooks=K)(table))
    assert codes.shape[1] == -(-len(pcm) * 24 // 16 // 1920)


def test_latents_and_separate_channels(quick, latent_codec, clips):
    path = str(clips / "speaker0/clip0.wav")
    both = read_audio(path, 24000, channels="separate")
    table = pyarrow.table({"id": ["a"], "path": [path]})
    found = MimiEncode(quick, num_codebooks=K, channels="separate")(table)
    assert found["channel"].to_pylist() == [1, 2]
    assert found["id"].to_pylist() == ["a", "a"]
    for codes, pcm in zip(arrays(found), both, strict=True):
        np.testing.assert_array_equal(codes, quick.encode(pcm, num_codebooks=K))
    for codec in (quick, latent_codec):
        (latents,) = arrays(MimiEncode(codec, latents=True, channels=2)(table), "latents")
        np.testing.assert_array_equal(latents.astype(np.float32), codec.encode_latents(both[1]).T)


def test_threads_that_ray_gave(quick, paths, monkeypatch):
    """Each has streams of its own, and the order is that of the rows."""
    monkeypatch.setattr("mimi_codec.ray.encode.assigned", lambda: (3, False))
    encode = MimiEncode(quick, num_codebooks=K)
    table = encode(pyarrow.table({"path": paths * 4}))
    for path, codes in zip(paths * 4, arrays(table), strict=True):
        np.testing.assert_array_equal(codes, quick.encode(read_audio(path, 24000), num_codebooks=K))


def test_a_gpu_that_ray_gave(quick, monkeypatch):
    """The first device that the actor sees, unless the caller says where."""
    monkeypatch.setattr("mimi_codec.ray.encode.assigned", lambda: (1, True))
    asked = []
    monkeypatch.setattr("mimi_codec.ray.resources.load", lambda *_, device, **__: asked.append(device) or quick)
    MimiEncode("demo")
    MimiEncode("demo", device="cpu")
    assert asked == ["cuda", "cpu"]


def test_errors_as_a_column_or_raised(quick, paths, tmp_path):
    (tmp_path / "bad.wav").write_text("not a sound")
    table = pyarrow.table(
        {"id": ["good", "bad", "gone"], "path": [paths[0], f"{tmp_path}/bad.wav", f"{tmp_path}/gone"]}
    )
    found = MimiEncode(quick, num_codebooks=K)(table)
    good, bad, gone = found["error"].to_pylist()
    assert good is None
    assert bad.startswith("unreadable: ")
    assert gone == "missing: there is no such file"
    assert found["codes"].null_count == 2
    with pytest.raises(MimiError, match="clip 'bad': unreadable"):
        MimiEncode(quick, num_codebooks=K, errors="raise")(table)
    wrong = MimiEncode(quick, column="sound")(pyarrow.table({"sound": [3]}))
    assert wrong["error"].to_pylist()[0].startswith("unreadable: ")


@pytest.mark.parametrize("latents", [False, True])
def test_and_back(demo, paths, latents):
    table = MimiEncode(demo, num_codebooks=None if latents else K, latents=latents)(pyarrow.table({"path": paths}))
    found = MimiDecode(demo)(table)
    assert found["audio"].type == pyarrow.list_(pyarrow.float32())
    assert set(found["sample_rate"].to_pylist()) == {24000}
    for path, sound in zip(paths, found["audio"], strict=True):
        pcm = read_audio(path, 24000)
        if latents:
            wanted = demo.decode_latents(demo.encode_latents(pcm))
        else:
            wanted = demo.decode(demo.encode(pcm, num_codebooks=K))
        np.testing.assert_array_equal(sound.values.to_numpy(), wanted[: len(pcm)])


def test_back_from_what_failed_or_is_wrong(demo):
    codes = [None, [[1, 2], [3, 4]], [[5000]], []]
    table = pyarrow.table({"codes": pyarrow.array(codes), "error": ["empty: it holds no samples", None, None, None]})
    found = MimiDecode(demo)(table)
    errors = found["error"].to_pylist()
    assert errors[:2] == ["empty: it holds no samples", None]
    assert "expected codes between 0 and 1023, got 5000" in errors[2]
    assert errors[3].startswith("decoding: ")
    assert [sound is None for sound in found["audio"].to_pylist()] == [True, False, True, True]
    with pytest.raises(MimiError):
        MimiDecode(demo, errors="raise")(table)


def test_an_empty_table(quick, demo):
    table = MimiEncode(quick, num_codebooks=K)(pyarrow.table({"path": pyarrow.array([], pyarrow.string())}))
    assert table.num_rows == 0
    assert table.schema.field("codes").type == pyarrow.list_(pyarrow.list_(pyarrow.uint16()))
    assert MimiDecode(demo)(table).num_rows == 0


def test_columns_and_options_that_are_wrong(quick, demo):
    with pytest.raises(ConfigError, match="expected a column 'path', got the columns"):
        MimiEncode(quick)(pyarrow.table({"file": ["a"]}))
    with pytest.raises(ConfigError, match="expected a column 'codes', got the columns"):
        MimiDecode(demo)(pyarrow.table({"file": ["a"]}))
    with pytest.raises(ConfigError, match="errors must be one of"):
        MimiEncode(quick, errors="ignore")


def test_the_class_goes_to_other_processes(tmp_path, paths):
    """As its name and its arguments, which a model is among."""
    import pickle

    mimi_codec.Mimi.demo().save(tmp_path / "model")
    arguments = pickle.loads(pickle.dumps({"codec": mimi_codec.load(tmp_path / "model"), "num_codebooks": K}))
    assert MimiEncode(**arguments)(pyarrow.table({"path": paths[:1]}))["error"].null_count == 1


class TestRoom:
    """One processor for the filter, and a half for the tasks that read and write."""

    @pytest.mark.parametrize(
        ("nodes", "cpus", "actors"),
        [
            ([1], 1, 0),
            ([2], 1, 0),
            ([2], 0.5, 1),
            ([3], 1, 1),
            ([4], 1, 2),
            ([16], 1, 14),
            ([16], 4, 3),
            ([2, 2], 1, 2),
            ([2, 2], 1.5, 1),  # two would leave half a processor on each, and the filter takes a whole one
            ([8, 8], 8, 1),
            ([0, 64], 2, 31),
        ],
    )
    def test_actors_that_fit(self, nodes, cpus, actors):
        found = [{"CPU": float(count), "memory": 1e10} for count in nodes]
        assert room.actors_that_fit(found, cpus, 0) == actors
        if actors:
            assert room.plan(None, cpus, 0, found) == (actors, cpus)
        with pytest.raises(ConfigError, match=f"{actors + 1} actors with .* would wait for ever .*at most {actors} of"):
            room.plan(actors + 1, cpus, 0, found)

    def test_a_machine_of_two(self):
        assert room.plan(None, None, 0, [{"CPU": 2.0, "memory": 1e10}]) == (1, 0.5)
        with pytest.raises(ConfigError, match="1 actors with 1 CPUs would wait for ever on this cluster of 1 node"):
            room.plan(1, None, 0, [{"CPU": 2.0, "memory": 1e10}])

    def test_gpus_and_memory(self):
        found = [{"CPU": 16.0, "GPU": 2.0, "memory": 1e10}]
        assert room.plan(None, None, 1, found) == (2, 1.0)
        with pytest.raises(ConfigError, match="3 actors with 1 CPUs and 1 GPUs"):
            room.plan(3, None, 1, found)
        with pytest.raises(ConfigError, match="bytes of memory"):
            room.plan(None, None, 0, [{"CPU": 16.0}])
