"""Packed and compact files: the same codes and sound, shared pages, and typed errors for files that are not right."""

import json
import os
import pickle
import re
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import mimi_codec
import signals
from mimi_codec import Mimi, check_packed
from mimi_codec.errors import ConfigError, DeviceError, LoadError
from mimi_codec.synthetic import write_synthetic_family, write_synthetic_latents

DTYPES = ["float32", "bfloat16", "int8"]


@pytest.fixture
def packed(demo, tmp_path) -> Path:
    path = tmp_path / "demo.packed"
    demo.save(path, packed=True)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits(dtype, speech, tmp_path):
    plain = Mimi.demo(dtype=dtype)
    plain.save(tmp_path / "packed", packed=True)
    check_packed(tmp_path / "packed")
    mapped = Mimi.from_pretrained(tmp_path / "packed", dtype=dtype)
    codes = plain.encode(speech[:48000])
    np.testing.assert_array_equal(mapped.encode(speech[:48000]), codes)
    np.testing.assert_array_equal(mapped.decode(codes), plain.decode(codes))
    assert (mapped.config, mapped.dtype, mapped.layout) == (plain.config, dtype, "packed")
    assert mapped.weight_bytes == plain.weight_bytes


@pytest.mark.parametrize("kind", ["code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder", "pocket-tts"])
def test_every_codec(kind, tmp_path):
    write = write_synthetic_latents if kind == "pocket-tts" else lambda path: write_synthetic_family(path, kind)
    plain = mimi_codec.load(write(tmp_path / "plain"))
    plain.save(tmp_path / "packed", packed=True)
    mapped = mimi_codec.load(tmp_path / "packed")
    assert (mapped.kind, type(mapped)) == (kind, type(plain))
    pcm = signals.noise(3 * plain.frame_size, seed=3)
    if plain.has_encoder:
        np.testing.assert_array_equal(mapped.encode_latents(pcm), plain.encode_latents(pcm))
    if plain.has_decoder:
        latents = np.random.default_rng(4).standard_normal((plain.decoder_latent_dim, 3)).astype(np.float32)
        np.testing.assert_array_equal(mapped.decode_latents(latents), plain.decode_latents(latents))
    if isinstance(plain, mimi_codec.TokenCodec):
        codes = np.random.default_rng(5).integers(0, plain.codebook_size, (plain.num_codebooks, 3))
        np.testing.assert_array_equal(mapped.decode(codes), plain.decode(codes))


def test_streams_move_between_a_packed_file_and_tensors(demo, packed, speech):
    mapped = Mimi.from_pretrained(packed)
    first, second = demo.encoder_stream(), mapped.encoder_stream()
    whole = demo.encoder_stream().push(speech[:48000])
    codes = first.push(speech[:20000])
    second.load(first.save())
    np.testing.assert_array_equal(np.concatenate([codes, second.push(speech[20000:48000])], -1), whole)


def test_a_worker_maps_the_same_file(packed):
    mapped = Mimi.from_pretrained(packed, num_codebooks=4, parts="encoder")
    again = pickle.loads(pickle.dumps(mapped))
    assert (again.num_codebooks, again.parts, again.layout) == (4, "encoder", "packed")


def test_options_that_it_is_not_packed_for(packed, tmp_path):
    with pytest.raises(ConfigError, match='expected "float32", as the weights are packed, got "int8"'):
        Mimi.from_pretrained(packed, dtype="int8")
    Mimi.from_pretrained(packed, parts="encoder", num_codebooks=4).save(tmp_path / "half", packed=True)
    with pytest.raises(ConfigError, match='expected "encoder", as the weights are packed'):
        Mimi.from_pretrained(tmp_path / "half")
    with pytest.raises(ConfigError, match="expected between 1 and 4, got 5"):
        Mimi.from_pretrained(tmp_path / "half", parts="encoder", num_codebooks=5)
    with pytest.raises(DeviceError):
        Mimi.from_pretrained(packed, device="cuda")


def test_tensors_cannot_be_had_from_it(packed, tmp_path):
    mapped = Mimi.from_pretrained(packed)
    with pytest.raises(LoadError, match="packed"):
        mapped.save(tmp_path / "tensors")
    with pytest.raises(LoadError, match="a directory"):
        mapped.save(tmp_path, packed=True)


def test_damaged_files(packed, tmp_path):
    whole, path = packed.read_bytes(), tmp_path / "damaged"
    for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(LoadError):
            mimi_codec.load(path)
    path.write_bytes(whole[:-5] + b"\1" + whole[-4:])
    mimi_codec.load(path)  # which does not read the weights
    with pytest.raises(LoadError, match=r"expected checksum .* it is damaged"):
        check_packed(path)
    with pytest.raises(LoadError, match="of another kind"):
        check_packed(Path(mimi_codec.__file__).parent / "demo" / "model.safetensors")


def test_weights_of_another_processor(packed, tmp_path):
    whole, simd = packed.read_bytes(), mimi_codec.build_info()["simd"]
    path = tmp_path / "other"
    # The description has a checksum, so that it cannot be changed by chance.
    path.write_bytes(whole.replace(simd.encode(), b"x" * len(simd), 1))
    with pytest.raises(LoadError, match="the checksum is another"):
        mimi_codec.load(path)
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    text = header["__metadata__"]["mimi_packed"][9:].replace(simd, "x" * len(simd), 1)
    header["__metadata__"]["mimi_packed"] = f"{zlib.crc32(text.encode()):08x} {text}"
    sealed = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(whole[:8] + sealed.ljust(length) + whole[8 + length :])
    with pytest.raises(LoadError, match="expected weights packed for avx512, avx2, neon or portable, got some for x"):
        mimi_codec.load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is read from /proc")
def test_the_weights_are_the_pages_of_the_file(packed, speech):
    mapped = Mimi.from_pretrained(packed)
    mapped.decode(mapped.encode(speech[:24000]))
    with open("/proc/self/maps", encoding="utf-8") as maps:
        lines = [line for line in maps if line.rstrip().endswith(str(packed))]
    # One map, which cannot be written and is shared.
    assert [line.split()[1] for line in lines] == ["r--s"]
    begin, end = (int(bound, 16) for bound in lines[0].split()[0].split("-"))
    assert end - begin >= packed.stat().st_size > mapped.weight_bytes


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let a file that is mapped be changed")
@pytest.mark.parametrize("length", [0, 4096, -1])
def test_a_file_that_is_cut_short_while_it_is_in_use(run_python, packed, length):
    """In a process of its own, which would end if it read what is no longer there."""
    script = """
        import os, sys
        import numpy as np
        import mimi_codec
        path, length = sys.argv[1], int(sys.argv[2])
        mimi = mimi_codec.Mimi.from_pretrained(path)
        stream = mimi.encoder_stream()
        stream.push(np.zeros(3840, np.float32))
        before = stream.save()
        os.chmod(path, 0o644)
        os.truncate(path, length if length >= 0 else os.path.getsize(path) + length)
        for call in (lambda: mimi.encode(np.zeros(9600, np.float32)), lambda: mimi.decode(np.zeros((16, 3), int)),
                     lambda: stream.push(np.zeros(3840, np.float32))):
            try:
                call()
            except mimi_codec.LoadError as error:
                print(error)
        assert stream.save() == before
    """
    lines = run_python(script, packed, length).splitlines()
    assert len(lines) == 3
    assert all("written to since: load it again" in line for line in lines)


def test_those_who_mapped_a_file_keep_it_when_it_is_packed_again(demo, packed, speech):
    mapped = Mimi.from_pretrained(packed)
    if os.name != "nt":
        Mimi.demo(dtype="int8").save(packed, packed=True)
        assert Mimi.from_pretrained(packed).dtype == "int8"
    np.testing.assert_array_equal(mapped.encode(speech[:9600]), demo.encode(speech[:9600]))


def test_the_import_brings_nothing_for_files(run_python):
    """Half of the time of the import went into what a process that encodes arrays does not need."""
    script = """
        import sys
        import mimi_codec
        mimi_codec.Mimi.demo()
        print(*sorted(name for name in sys.modules if name.startswith("mimi_codec.")))
        mimi_codec.write_tokens, mimi_codec.audio.read_audio, mimi_codec.tokens.delay
        assert set(mimi_codec.__all__) <= set(dir(mimi_codec))
        try:
            mimi_codec.nothing
        except AttributeError as error:
            print(error)
    """
    modules, error = run_python(script).splitlines()
    assert not {"mimi_codec.audio", "mimi_codec.token_files", "mimi_codec.tokens"} & set(modules.split())
    assert error == "module 'mimi_codec' has no attribute 'nothing'"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_compact_file_gives_the_same_bits(dtype, speech, tmp_path):
    plain = Mimi.demo(dtype=dtype)
    Mimi.demo().save(tmp_path / "small", dtype=dtype)
    check_packed(tmp_path / "small")
    small = Mimi.from_pretrained(tmp_path / "small")
    codes = plain.encode(speech[:48000])
    np.testing.assert_array_equal(small.encode(speech[:48000]), codes)
    np.testing.assert_array_equal(small.decode(codes), plain.decode(codes))
    assert (small.config, small.dtype, small.layout) == (plain.config, dtype, "compact")
    again = pickle.loads(pickle.dumps(small))
    assert (again.dtype, again.weight_bytes) == (dtype, plain.weight_bytes)
    # The type of the model, of which the file is the same again.
    small.save(tmp_path / "again", dtype="auto")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "small").read_bytes()


@pytest.mark.parametrize("kind", ["code2wav", "qwen3-tts", "vibevoice", "vibevoice-encoder", "pocket-tts"])
def test_a_compact_file_of_every_codec(kind, tmp_path):
    write = write_synthetic_latents if kind == "pocket-tts" else lambda path: write_synthetic_family(path, kind)
    path = write(tmp_path / "plain")
    plain = mimi_codec.load(path, dtype="int8")
    mimi_codec.load(path).save(tmp_path / "small", dtype="int8")
    small = mimi_codec.load(tmp_path / "small")
    assert (small.kind, type(small), small.weight_bytes) == (kind, type(plain), plain.weight_bytes)
    pcm = signals.noise(3 * plain.frame_size, seed=3)
    if plain.has_encoder:
        np.testing.assert_array_equal(small.encode_latents(pcm), plain.encode_latents(pcm))
        # A half of it alone is loaded again as it was.
        half = mimi_codec.load(path, dtype="int8", parts="encoder")
        half.save(tmp_path / "half", dtype="auto")
        again = mimi_codec.load(tmp_path / "half", parts="encoder")
        np.testing.assert_array_equal(again.encode_latents(pcm), plain.encode_latents(pcm))
        if isinstance(plain, mimi_codec.TokenCodec):
            np.testing.assert_array_equal(again.encode(pcm), plain.encode(pcm))
    if isinstance(plain, mimi_codec.TokenCodec):
        codes = np.random.default_rng(5).integers(0, plain.codebook_size, (plain.num_codebooks, 3))
        np.testing.assert_array_equal(small.decode(codes), plain.decode(codes))


def test_what_a_compact_file_is_not_for(demo, tmp_path):
    small = tmp_path / "small"
    demo.save(small, dtype="int8")
    with pytest.raises(ConfigError, match='expected "int8", as the weights are packed, got "bfloat16"'):
        Mimi.from_pretrained(small, dtype="bfloat16")
    with pytest.raises(ConfigError, match="packed or a dtype"):
        demo.save(tmp_path / "other", packed=True, dtype="int8")
    with pytest.raises(ConfigError, match=r"dtype must be one of .*'int8', got 'int4'"):
        demo.save(tmp_path / "other", dtype="int4")
    with pytest.raises(LoadError, match="packed"):
        Mimi.from_pretrained(small).save(tmp_path / "tensors")
    with pytest.raises(LoadError, match="a directory"):
        demo.save(tmp_path, dtype="int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]
    damaged = bytearray(small.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(LoadError, match=r"expected checksum .* it is damaged"):
        Mimi.from_pretrained(tmp_path / "damaged")


def test_shell(packed, tmp_path, capsys):
    from mimi_codec.cli import main

    out = tmp_path / "encoder.packed"
    pack = ["pack", "demo", str(out), "--parts", "encoder", "-k", "4", "--dtype", "int8"]
    assert main(pack) == 0
    assert Mimi.from_pretrained(out, parts="encoder", dtype="int8").num_codebooks == 4
    assert main(pack) == 2  # it is there
    assert main([*pack, "--force"]) == 0
    assert main(["pack", "--check", str(out)]) == 0
    shutil.copy(out, tmp_path / "damaged")
    os.chmod(tmp_path / "damaged", 0o644)
    with open(tmp_path / "damaged", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    assert main(["pack", "--check", str(tmp_path / "damaged")]) == 1
    small = tmp_path / "encoder.compact"
    assert main(["pack", "demo", str(small), "--parts", "encoder", "-k", "4", "--dtype", "int8", "--compact"]) == 0
    assert small.stat().st_size < out.stat().st_size
    assert Mimi.from_pretrained(small, parts="encoder").layout == "compact"
    assert main(["pack", "--check", str(small)]) == 0
    assert main(["pack", "--check", str(small), "--compact"]) == 2
    capsys.readouterr()
    assert main(["info", str(small)]) == 0
    assert re.search(r"layout +compact\n(.*\n)?parts +encoder\n", capsys.readouterr().out)
    assert main(["pack", "demo"]) == 2
    assert main(["pack", "--check", str(out), "more"]) == 2
