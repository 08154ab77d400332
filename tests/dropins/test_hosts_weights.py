"""Drop-ins of Code2Wav and VibeVoice as parts of their hosts: where weights come from and go to, copies, wrappers."""

import copy
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", minversion="5.23", reason="VibeVoice needs Transformers 5.23")

import mimi_codec
import reference
import tiny_qwen_omni
import tiny_vibevoice
from mimi_codec import ConfigError, LoadError, WeightsError, errors
from mimi_codec.synthetic import write_synthetic_family
from mimi_codec.transformers import (
    Qwen3OmniMoeCode2Wav,
    VibeVoiceAcousticTokenizerEncoderModel,
    VibeVoiceAcousticTokenizerModel,
    attach,
)

pytestmark = pytest.mark.filterwarnings("ignore")

HOSTS = {
    "qwen-omni": (tiny_qwen_omni.model, ["code2wav"]),
    "vibevoice": (tiny_vibevoice.speaker, ["model.audio_tower", "model.semantic_tokenizer_encoder"]),
    "vibevoice-asr": (
        tiny_vibevoice.transcriber,
        ["model.acoustic_tokenizer_encoder", "model.semantic_tokenizer_encoder"],
    ),
}
CLASSES = {
    "code2wav": Qwen3OmniMoeCode2Wav,
    "vibevoice": VibeVoiceAcousticTokenizerModel,
    "vibevoice-encoder": VibeVoiceAcousticTokenizerEncoderModel,
}
every_host = pytest.mark.parametrize("name", HOSTS)
every_class = pytest.mark.parametrize("kind", CLASSES)


@pytest.fixture(scope="module")
def hosts():
    return {name: make() for name, (make, _) in HOSTS.items()}


@pytest.fixture
def host(hosts, name):
    return copy.deepcopy(hosts[name])


def codecs(host, name: str) -> list:
    return [host.get_submodule(path) for path in HOSTS[name][1]]


def use(codec) -> torch.Tensor:
    """What a codec gives, whichever it is."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        if hasattr(codec, "chunked_decode"):
            shape = (2, codec.config.num_quantizers, 6)
            return codec(torch.randint(0, codec.config.codebook_size, shape, generator=rng))
        x = 0.3 * torch.randn(2, 1, 4 * codec.config.hop_length, generator=rng)
        if hasattr(codec, "encode"):
            return codec.decode(codec.encode(x, sample=False).latents).audio
        return codec(x).latents


def near(ours, theirs) -> None:
    reference.assert_near(use(ours).numpy(), use(theirs).numpy())


@every_host
class TestInHosts:
    def test_state_dict(self, host, name):
        """Names, shapes and values are those of before, and whoever loads them gets the same codec."""
        before = {key: value.clone() for key, value in host.state_dict().items()}
        attach(host)
        after = host.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(after[key], value) for key, value in before.items())
        other = copy.deepcopy(host)
        changed = {key: value * 0.9 for key, value in before.items()}
        other.load_state_dict(changed)
        plain = HOSTS[name][0]()
        plain.load_state_dict(changed)
        for ours, theirs, untouched in zip(*(codecs(one, name) for one in (other, plain, host)), strict=True):
            near(ours, theirs)
            assert not torch.equal(use(ours), use(untouched))
        del changed[HOSTS[name][1][0] + "." + next(iter(codecs(plain, name)[0].state_dict()))]
        with pytest.raises(WeightsError):
            other.load_state_dict(changed)
        with pytest.raises(RuntimeError, match=r"Missing key.*" + HOSTS[name][1][0].replace(".", r"\.")):
            other.load_state_dict({})

    def test_save_pretrained(self, host, hosts, name, tmp_path):
        """The host's own class loads what was saved, also where names on disk are others, in shards and from a path."""
        attach(host)
        host.save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
        again = type(host).from_pretrained(tmp_path)
        expected = hosts[name].state_dict()
        found = again.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        from_files = copy.deepcopy(hosts[name])
        attach(from_files, tmp_path)
        attach(again, str(tmp_path))
        for one, other, memory in zip(*(codecs(h, name) for h in (from_files, again, host)), strict=True):
            assert one._files is None
            assert torch.equal(use(one), use(memory))
            assert torch.equal(use(other), use(memory))
            # a codec that was loaded from files knows its tensors too
            state = one.state_dict()
            assert state.keys() == memory.state_dict().keys()
            assert all(torch.equal(state[key], value) for key, value in memory.state_dict().items())

    def test_weights_without_data(self, host, name, tmp_path):
        host.save_pretrained(tmp_path)
        empty = copy.deepcopy(host).to("meta")
        with pytest.raises(WeightsError, match="no data"):
            attach(empty)
        for module in codecs(empty, name):
            assert module.device.type == "meta", "one was replaced though the other failed"
        attach(empty, tmp_path)
        for ours, theirs in zip(codecs(empty, name), codecs(host, name), strict=True):
            assert ours.device.type == "cpu"
            near(ours, theirs)

    @pytest.mark.parametrize("wrapper", ["compiled", "parallel", "nested"])
    def test_wrapped(self, host, hosts, name, wrapper):
        wrapped = {
            "compiled": torch.compile,
            "parallel": torch.nn.DataParallel,
            "nested": lambda host: torch.nn.ModuleDict({"a": torch.nn.Sequential(host)}),
        }[wrapper](host)
        attach(wrapped)
        for ours, theirs in zip(codecs(host, name), codecs(hosts[name], name), strict=True):
            assert type(ours) is CLASSES[ours.kind]
            near(ours, theirs)

    def test_copies_and_pickles(self, host, name):
        attach(host)
        for other in (copy.deepcopy(host), pickle.loads(pickle.dumps(host))):
            for one, same in zip(codecs(other, name), codecs(host, name), strict=True):
                assert one is not same
                assert torch.equal(use(one), use(same))

    def test_moved(self, host, name):
        """The float type goes with the host; nothing of it can be trained."""
        attach(host)
        host.to(torch.float16)
        for ours in codecs(host, name):
            assert ours.dtype == use(ours).dtype == torch.float16
            assert not any(parameter.requires_grad for parameter in ours.parameters())

    def test_attached_again(self, host, hosts, name):
        attach(host)
        first = codecs(host, name)
        attach(host, threads=2)
        for ours, before, theirs in zip(codecs(host, name), first, codecs(hosts[name], name), strict=True):
            assert ours.codec.threads == 2
            assert ours.codec is not before.codec
            near(ours, theirs)

    def test_codecs_that_were_given_stay(self, host, hosts, name):
        given = {path.split(".")[-1]: module.codec for path, module in self.made(copy.deepcopy(host), name).items()}
        attach(host, given)
        for _ in range(2):
            for path, ours in zip(HOSTS[name][1], codecs(host, name), strict=True):
                assert ours.codec is given[path.split(".")[-1]]
            attach(host)

    def made(self, host, name) -> dict:
        attach(host)
        return dict(zip(HOSTS[name][1], codecs(host, name), strict=True))

    def test_chunked_is_for_code2wav(self, host, name):
        if name == "qwen-omni":
            assert attach(host, chunked=True).chunked
        else:
            with pytest.raises(ConfigError, match="chunked is for Code2Wav"):
                attach(host, chunked=True)


class TestTwoCodecs:
    def test_one_by_name(self, hosts):
        """The other is taken from the model."""
        host = copy.deepcopy(hosts["vibevoice"])
        codec = attach(copy.deepcopy(host))["semantic_tokenizer_encoder"].codec
        made = attach(host, {"semantic_tokenizer_encoder": codec})
        assert made["semantic_tokenizer_encoder"].codec is codec
        assert made["audio_tower"]._files is not None
        near(made["audio_tower"], hosts["vibevoice"].model.audio_tower)

    def test_refused(self, hosts, demo):
        host = copy.deepcopy(hosts["vibevoice"])
        made = attach(copy.deepcopy(host))
        semantic = made["semantic_tokenizer_encoder"].codec
        with pytest.raises(ConfigError, match="several codecs; name them"):
            attach(host, semantic)
        with pytest.raises(ConfigError, match="audio_tower and semantic_tokenizer_encoder, got one for 'audio_towr'"):
            attach(host, {"audio_towr": made["audio_tower"].codec})
        with pytest.raises(ConfigError, match="for a codec of the kind 'vibevoice', got VibeVoice"):
            attach(host, {"audio_tower": semantic})
        with pytest.raises(ConfigError, match="made for a codec of 6 values in a latent, got a codec of 10"):
            attach(copy.deepcopy(hosts["vibevoice-asr"]), {"acoustic_tokenizer_encoder": semantic})
        longer = attach(tiny_vibevoice.speaker(downsampling_ratios=(2, 2, 4)))["audio_tower"].codec
        with pytest.raises(ConfigError, match="made for a codec of 12 samples per frame"):
            attach(host, {"audio_tower": longer})
        with pytest.raises(LoadError):
            attach(host, "./nothing-there")
        twins = torch.nn.ModuleList([host, copy.deepcopy(host)])
        with pytest.raises(ConfigError, match="several codecs under the name audio_tower"):
            attach(twins)
        assert type(host.model.audio_tower).__module__.startswith("transformers.")


@every_class
class TestAlone:
    @pytest.fixture
    def directory(self, kind, tmp_path):
        return write_synthetic_family(tmp_path / kind, kind)

    def test_from_pretrained(self, kind, directory, tmp_path):
        ours = CLASSES[kind].from_pretrained(directory, threads=2)
        assert ours.codec.threads == 2
        assert torch.equal(use(ours), use(CLASSES[kind](mimi_codec.load(directory))))
        inside = write_synthetic_family(tmp_path / "host", kind, prefix="model.part.", shards=2)
        assert torch.equal(use(CLASSES[kind].from_pretrained(inside, module="part")), use(ours))
        with pytest.raises(ConfigError, match=f"for a codec of the kind '{kind}'"):
            CLASSES[kind].from_pretrained(write_synthetic_family(tmp_path / "other", "qwen3-tts"))
        with pytest.raises(LoadError):
            CLASSES[kind].from_pretrained(tmp_path / "nothing")

    def test_the_original_from_its_configuration_and_tensors(self, kind, directory):
        """What a codec of files says of itself makes Transformers' model, which computes the same."""
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as qwen
        from transformers.models.vibevoice_acoustic_tokenizer import modeling_vibevoice_acoustic_tokenizer as vibevoice

        ours = CLASSES[kind].from_pretrained(directory)
        theirs = getattr(qwen if kind == "code2wav" else vibevoice, CLASSES[kind].__name__)(ours.config).eval()
        theirs.load_state_dict(ours.state_dict())
        near(ours, theirs)
        again = CLASSES[kind].from_state_dict(theirs.state_dict(), theirs.config, threads=1)
        assert torch.equal(use(again), use(ours))

    def test_a_changed_type_of_weights_stays(self, kind, directory):
        ours = CLASSES[kind].from_pretrained(directory, dtype="bfloat16")
        expected = use(ours)
        ours.load_state_dict(ours.state_dict())
        assert ours.codec.dtype == "bfloat16"
        assert torch.equal(use(ours), expected)
        assert repr(ours.codec) in repr(ours)


def test_half_a_codec(hosts, tmp_path):
    host = copy.deepcopy(hosts["vibevoice"])
    host.save_pretrained(tmp_path)
    decoder = VibeVoiceAcousticTokenizerModel.from_pretrained(tmp_path, module="audio_tower", parts="decoder")
    frames = np.zeros((1, 3, tiny_vibevoice.ACOUSTIC), np.float32)
    assert decoder.decode(torch.from_numpy(frames)).audio.shape == (1, 1, 3 * tiny_vibevoice.HOP)
    with pytest.raises(ConfigError, match="cannot encode"):
        decoder.encode(torch.zeros(1, 1, 100))
    assert decoder.state_dict().keys() == host.model.audio_tower.state_dict().keys()  # checkpoints stay whole
    decoder.load_state_dict(decoder.state_dict())
    assert decoder.codec.parts == "decoder"
    with pytest.raises(errors.InputTypeError):
        attach(decoder)


def test_what_an_installed_version_lacks(run_python):
    """Everything else works there, and the error says what is missing."""
    parts = ("vibevoice_acoustic_tokenizer", "qwen3_omni_moe")
    out = run_python(
        """
        import mimi_codec.transformers as ours
        print(ours.MimiModel.__name__, ours.attach.__name__)
        for name in ("Qwen3OmniMoeCode2Wav", "VibeVoiceAcousticTokenizerModel"):
            try:
                getattr(ours, name)
            except ImportError as error:
                print(error)
        """,
        without=[f"transformers.models.{name}" for name in parts],
    )
    assert "MimiModel attach" in out
    assert "has no Code2Wav of Qwen3-Omni" in out
    assert "has no tokenizers of VibeVoice" in out
