"""One drop-in for several versions of Transformers: both spellings of the caches, and versions that cannot work."""

import copy
import pickle
import re
import warnings
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import transformers
from transformers.models.mimi import modeling_mimi

import signals
from mimi_codec.errors import StreamError
from mimi_codec.transformers import MimiModel
from mimi_codec.transformers.installed import TESTED, field_of, warn_of_untested

HOP = 16
ROOT = Path(__file__).resolve().parents[2]
ENCODER = ("encoder_cache", "encoder_past_key_values")
DECODER = ("decoder_cache", "decoder_past_key_values")
EITHER = ("cache", "past_key_values")


@pytest.fixture
def ours(tiny) -> MimiModel:
    return MimiModel(tiny)


@pytest.fixture
def pcm() -> torch.Tensor:
    return torch.from_numpy(signals.noise(8 * HOP, rows=2, level=0.3))


class TestSpellings:
    @pytest.mark.parametrize("name", ENCODER + EITHER)
    def test_encode(self, ours, pcm, name):
        first = ours.encode(pcm[..., : 5 * HOP], use_streaming=True)
        cache = getattr(first, name)
        assert cache is first[name] is first.get(name) is first[1]
        assert name in first
        second = ours.encode(pcm[..., 5 * HOP :], **{name: cache})
        assert torch.equal(torch.cat([first[0], second[0]], -1), ours.encode(pcm).audio_codes)

    @pytest.mark.parametrize("name", DECODER + EITHER)
    def test_decode(self, ours, pcm, name):
        codes = ours.encode(pcm).audio_codes
        first = ours.decode(codes[..., :5], use_cache=True)
        cache = getattr(first, name)
        assert cache is first[name] is first.get(name) is first[1]
        second = ours.decode(codes[..., 5:], **{name: cache})
        assert torch.equal(torch.cat([first[0], second[0]], -1), ours.decode(codes).audio_values)

    @pytest.mark.parametrize("spelling", [0, 1])
    def test_forward(self, ours, pcm, spelling):
        encoded = ours.encode(pcm[..., :HOP], use_streaming=True)
        first = ours(pcm[..., HOP : 5 * HOP], encoder_cache=encoded.encoder_cache, use_cache=True)
        caches = {names[spelling]: getattr(first, names[spelling]) for names in (ENCODER, DECODER)}
        assert None not in caches.values()
        second = ours(pcm[..., 5 * HOP :], **caches)
        codes = torch.cat([encoded[0], first[0], second[0]], -1)
        assert torch.equal(codes, ours.encode(pcm).audio_codes)
        audio = torch.cat([first.audio_values, second.audio_values], -1)
        assert torch.equal(audio, ours.decode(codes[..., 1:]).audio_values)

    def test_by_position(self, ours, pcm):
        first = ours.encode(pcm[..., : 5 * HOP], use_streaming=True)
        second = ours.encode(pcm[..., 5 * HOP :], None, None, first.encoder_cache)
        assert torch.equal(torch.cat([first[0], second[0]], -1), ours.encode(pcm).audio_codes)

    def test_two_caches_for_one(self, ours, pcm):
        one, other = (ours.encode(pcm, use_streaming=True).encoder_cache for _ in range(2))
        with pytest.raises(StreamError, match="encoder_past_key_values is another name of encoder_cache"):
            ours.encode(pcm, encoder_cache=one, encoder_past_key_values=other)
        ours.encode(pcm, encoder_cache=one, encoder_past_key_values=one, cache=None)

    def test_forward_has_two_caches(self, ours, pcm):
        """`cache` does not say which."""
        cache = ours.encode(pcm, use_streaming=True).encoder_cache
        for name in EITHER:
            with pytest.raises(TypeError, match=name):
                ours(pcm, **{name: cache})

    def test_what_there_is_not(self, ours, pcm):
        out = ours.encode(pcm)
        assert out.encoder_cache is out.encoder_past_key_values is None
        assert out.get("encoder_cache", 5) == 5
        assert "encoder_cache" not in out
        for name in (*DECODER, "surprise"):
            with pytest.raises(AttributeError, match=name):
                getattr(out, name)
            with pytest.raises(KeyError, match=name):
                out[name]

    def test_copies_and_pickles(self, ours, pcm):
        out = ours.encode(pcm)
        for other in (copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
            assert type(other) is type(out)
            assert torch.equal(other.audio_codes, out.audio_codes)
            assert other.encoder_past_key_values is None

    @pytest.mark.parametrize("method", ["encode", "decode", "forward"])
    def test_keys_are_those_of_transformers(self, ours, pcm, method):
        """Code that goes through an output by its fields sees what it knows."""
        value = ours.encode(pcm).audio_codes if method == "decode" else pcm
        out = getattr(ours, method)(value)
        theirs = type(out).__mro__[2]
        assert theirs.__module__ == modeling_mimi.__name__
        assert [field.name for field in fields(out)] == [field.name for field in fields(theirs)]
        assert len(out) == len(out.to_tuple()) == len(out.keys())


class TestWindow:
    """kyutai/mimi's attention sees 250 positions, 10 s; Transformers 4 lets it see all that came before."""

    SCRIPT = """
        import sys
        import torch, transformers
        sys.path += sys.argv[2:]
        import signals, synthetic
        from mimi_codec.transformers import MimiModel

        if sys.argv[1] == "itself" and hasattr(synthetic.modeling_mimi, "create_causal_mask"):
            synthetic.modeling_mimi.create_causal_mask = transformers.masking_utils.create_causal_mask
        theirs = synthetic.build(synthetic.tiny_config(sliding_window=12))
        ours = MimiModel.from_state_dict(theirs.state_dict(), theirs.config)
        pcm = torch.from_numpy(signals.noise(60 * 16, level=0.3))[None, None]
        with torch.no_grad():
            same = (theirs.encode(pcm).audio_codes == ours.encode(pcm).audio_codes).all(dim=1)[0]
        print(bool(same[:6].all()), bool(same.all()))
    """

    def run(self, run_python, which: str) -> list[str]:
        return run_python(self.SCRIPT, which, ROOT / "tests").split()

    def test_transformers_by_itself(self, run_python):
        """Equal within the window; beyond it only where Transformers has one."""
        windowed = not transformers.__version__.startswith("4.")
        assert self.run(run_python, "itself") == ["True", str(windowed)]

    def test_what_the_other_tests_compare_with(self, run_python):
        assert self.run(run_python, "windowed") == ["True", "True"]


class TestVersions:
    def test_this_one_is_tested(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_untested(transformers.__version__)

    @pytest.mark.parametrize("version", ["4.56.2", "4.570.0", "5.22.0", "5.99.0.dev0", "6.0"])
    def test_an_untested_one_warns(self, version):
        with pytest.warns(UserWarning, match=rf"tested with Transformers .*{TESTED[-1]}; {version} was found"):
            warn_of_untested(version)

    def test_the_warning_comes_once(self, run_python):
        out = run_python(
            """
            import warnings, transformers
            transformers.__version__ = "5.99.1"
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                from mimi_codec.transformers import MimiModel
                from mimi_codec.transformers import attach, StreamCache
            print([str(w.message) for w in seen if "mimi_codec" in str(w.message)])
            """
        )
        assert out.count("5.99.1 was found") == 1

    def test_an_impossible_one_says_what_works(self, run_python):
        """Old versions have no padding cache."""
        out = run_python(
            """
            from transformers.models.mimi import modeling_mimi
            del modeling_mimi.MimiConv1dPaddingCache
            try:
                from mimi_codec.transformers import MimiModel
            except ImportError as error:
                print(error)
            """
        )
        assert f"works with Transformers {', '.join(TESTED)}" in out
        assert f"Transformers {transformers.__version__} was found" in out
        assert "MimiConv1dPaddingCache" in out

    def test_a_third_spelling_says_what_works(self):
        with pytest.raises(ImportError, match=rf"works with Transformers .*{TESTED[-1]}.*none of the fields encoder_"):
            field_of(modeling_mimi.MimiDecoderOutput, ENCODER)

    def test_the_versions_are_the_same_everywhere(self):
        """What the tests run on, what the page says, what the code says."""
        page = (ROOT / "docs/transformers.md").read_text()
        rows = re.findall(r"^\| (\d+\.\d+)[.\d]* \|", page, re.M)
        assert rows == list(TESTED)
        script = (ROOT / ".ci/run").read_text()
        for version in TESTED[:-1]:
            assert f"transformers=={version}." in script
