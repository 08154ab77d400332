"""A host of many shards on the hub: only those that hold the codec are fetched."""

import json

import numpy as np
import pytest

import mimi_codec
from fake_hub import Hub
from family_models import random_codes
from mimi_codec.synthetic import write_synthetic_family

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """VibeVoice with its two codecs in two shards each, or a Qwen3-Omni, among shards that nobody may ask for."""

    def build(config: dict, codecs: dict[str, str]) -> Hub:
        files, placed = {}, {"lm_head.weight": "model-language.safetensors"}
        for number, (prefix, kind) in enumerate(codecs.items()):
            source = write_synthetic_family(tmp_path / f"source-{number}", kind, prefix=prefix, shards=2)
            config[f"config_{number}"] = json.loads((source / "config.json").read_text())
            for name, file in json.loads((source / "model.safetensors.index.json").read_text())["weight_map"].items():
                placed[name] = f"{number}-{file}"
                files[f"{number}-{file}"] = source / file
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
        files |= {"config.json": tmp_path / "config.json", "model.safetensors.index.json": tmp_path / "index.json"}
        # It is on the hub, so that asking for it would not fail: only the record tells.
        files["model-language.safetensors"] = tmp_path / "config.json"
        return Hub(tmp_path / "cache", {COMMIT: files}, {"main": COMMIT}).install(monkeypatch)

    return build


def weights(hub: Hub) -> list[str]:
    return [file for file in hub.files if file.endswith(".safetensors")]


def test_code2wav(host, tmp_path):
    hub = host({"model_type": "qwen3_omni_moe"}, {"code2wav.": "code2wav"})
    codec = mimi_codec.load("Qwen/Qwen3-Omni-30B-A3B-Instruct")
    assert codec.kind == "code2wav"
    assert weights(hub) == ["0-model-00001-of-00002.safetensors", "0-model-00002-of-00002.safetensors"]
    codes = random_codes(codec, 5)
    alone = mimi_codec.load(write_synthetic_family(tmp_path / "alone", "code2wav"))
    np.testing.assert_array_equal(codec.decode(codes), alone.decode(codes))


@pytest.mark.parametrize(("module", "number"), [(None, 0), ("semantic_tokenizer_encoder", 1)])
def test_vibevoice(host, module, number):
    prefixes = {
        "model.audio_tower.": "vibevoice",
        "model.semantic_tokenizer_encoder.": "vibevoice-encoder",
    }
    hub = host({"model_type": "vibevoice"}, prefixes)
    codec = mimi_codec.load("microsoft/VibeVoice-1.5B", module=module)
    assert codec.kind == list(prefixes.values())[number]
    assert weights(hub) == [f"{number}-model-0000{shard}-of-00002.safetensors" for shard in (1, 2)]
