"""Models fetched from the hub: which files, of which commit, and what is said when the hub refuses."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors

import mimi_codec
import signals
import synthetic
from fake_hub import Hub
from mimi_codec import Mimi
from mimi_codec.errors import LoadError
from mimi_codec.synthetic import write_synthetic_family

CLIP = signals.noise(333)
OLD, NEW = "0" * 40, "f" * 40
REAL_DOWNLOAD = huggingface_hub.hf_hub_download
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def newer(tmp_path_factory) -> Path:
    """A model of the tiny one's shapes with other weights."""
    return synthetic.write(synthetic.build(synthetic.tiny_config(), seed=2), tmp_path_factory.mktemp("newer"))


def files(directory: Path) -> dict[str, Path]:
    return {path.name: path for path in directory.iterdir()}


@pytest.fixture
def hub(tiny_dir, newer, tmp_path, monkeypatch) -> Hub:
    """A repository whose main branch is the tiny model, with a newer commit that no branch has yet."""
    others = {"README.md": tiny_dir / "config.json", "pytorch_model.bin": tiny_dir / "config.json"}
    commits = {OLD: files(tiny_dir) | others, NEW: files(newer) | others}
    refs = {"main": OLD, "v1": OLD, "next": NEW}
    return Hub(tmp_path / "downloads", commits, refs).install(monkeypatch)


def refusal(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    response = SimpleNamespace(headers={}, request=None, status_code=status)  # what the error looks at
    return kind("the hub said no", response=response)


class TestCommits:
    def test_all_files_are_of_the_listed_commit(self, hub, tiny):
        mimi = Mimi.from_pretrained("kyutai/mimi")
        assert (mimi.name, mimi.revision) == ("kyutai/mimi", OLD)
        assert hub.files == ["config.json", "model.safetensors"]
        assert {asked["revision"] for asked in hub.downloaded} == {OLD}
        assert {asked["repo"] for asked in hub.downloaded} == {"kyutai/mimi"}
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))

    def test_a_branch_that_moves_on_meanwhile(self, hub, tiny):
        """Configuration and weights of two commits would not be one model."""
        hub.moves = {"main": NEW}
        mimi = Mimi.from_pretrained("kyutai/mimi")
        assert mimi.revision == OLD
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))

    @pytest.mark.parametrize("revision", ["next", NEW])
    def test_a_branch_or_a_commit(self, hub, newer, revision):
        hub.moves = {"next": OLD}
        mimi = Mimi.from_pretrained("kyutai/mimi", revision=revision)
        assert hub.listed == [{"repo": "kyutai/mimi", "revision": revision, "token": None}]
        assert mimi.revision == NEW
        assert {asked["revision"] for asked in hub.downloaded} == {NEW}
        np.testing.assert_array_equal(mimi.encode(CLIP), Mimi.from_pretrained(newer).encode(CLIP))

    def test_a_mirror_that_names_no_commit(self, hub):
        hub.names_commits = False
        assert Mimi.from_pretrained("kyutai/mimi", revision="v1").revision == "v1"
        assert {asked["revision"] for asked in hub.downloaded} == {"v1"}

    def test_options_reach_the_hub(self, hub, tmp_path):
        Mimi.from_pretrained("kyutai/mimi", token="secret", cache_dir=str(tmp_path / "cache"))
        assert [asked["token"] for asked in hub.listed] == ["secret"]
        for asked in hub.downloaded:
            assert (asked["token"], asked["cache_dir"]) == ("secret", tmp_path / "cache")
            assert not asked["local_files_only"]


class TestPickles:
    def test_the_commit_is_kept(self, hub, tiny):
        """A worker that loads the model later gets the weights of its parent, whatever was pushed since."""
        data = pickle.dumps(Mimi.from_pretrained("kyutai/mimi"))
        hub.refs["main"] = NEW
        again = pickle.loads(data)
        assert (again.name, again.revision) == ("kyutai/mimi", OLD)
        assert [asked["revision"] for asked in hub.listed] == [None, OLD]
        np.testing.assert_array_equal(again.encode(CLIP), tiny.encode(CLIP))

    def test_options_are_kept_but_for_the_token(self, hub, tmp_path):
        cache = str(tmp_path / "cache")
        mimi = Mimi.from_pretrained(
            "kyutai/mimi", revision="next", token="secret", cache_dir=cache, parts="encoder", num_codebooks=3
        )
        data = pickle.dumps(mimi)
        assert b"secret" not in data
        hub.downloaded.clear()
        again = pickle.loads(data)
        assert (again.revision, again.has_decoder, again.num_codebooks) == (NEW, False, 3)
        assert {(asked["cache_dir"], asked["token"]) for asked in hub.downloaded} == {(Path(cache), None)}


class TestShards:
    @pytest.fixture
    def shards(self, hub, tiny_pair, tmp_path) -> Hub:
        source = synthetic.write(tiny_pair.theirs, tmp_path / "sharded", shards=3)
        hub.commits[OLD] = files(source) | {"model-00009-of-00009.safetensors": source / "config.json"}
        return hub

    def test_those_of_the_index_and_no_others(self, shards, tiny):
        mimi = Mimi.from_pretrained("kyutai/mimi")
        names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
        assert shards.files == ["config.json", *names, INDEX]
        assert {asked["revision"] for asked in shards.downloaded} == {OLD}
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))

    @pytest.mark.parametrize(
        "file",
        [
            "../secret",
            "/etc/passwd",
            "folder/shard.safetensors",
            "..",
            ".",
            "",
            "..\\secret",
            "C:\\secret",
            "a\0b",
            3,
            None,
            ["a"],
        ],
        ids=repr,
    )
    def test_a_file_elsewhere(self, shards, tmp_path, file):
        """The index is written by a stranger: what it names is not fetched unless it lies beside it."""
        index = json.loads(shards.commits[OLD][INDEX].read_bytes())
        index["weight_map"]["downsample.conv.weight"] = file
        changed = tmp_path / "changed.json"
        changed.write_text(json.dumps(index))
        shards.commits[OLD][INDEX] = changed
        for name in ("../secret", "folder/shard.safetensors"):
            shards.commits[OLD][name] = tmp_path / "sharded" / "config.json"
        with pytest.raises(LoadError, match=r"model\.safetensors\.index\.json"):
            Mimi.from_pretrained("kyutai/mimi")
        assert shards.files == ["config.json", INDEX]

    def test_a_shard_that_is_missing(self, shards):
        del shards.commits[OLD]["model-00002-of-00003.safetensors"]
        with pytest.raises(LoadError, match=r"kyutai/mimi.*404|model-00002-of-00003\.safetensors of kyutai/mimi"):
            Mimi.from_pretrained("kyutai/mimi")


class TestOtherRepositories:
    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("tokenizer-e351c8d8-checkpoint125.safetensors", {"model_type": "moshi", "dim": 4096}),
            ("mimi-pytorch-e351c8d8@125.safetensors", {"codebooks": 8}),
            ("mimi.safetensors", {"model_type": "tts", "mimi_name": "mimi.safetensors"}),
        ],
    )
    def test_kyutais_own(self, hub, full_kyutai, full_pair, tmp_path, name, fields):
        """Beside the codec's file lie a language model and its configuration: neither is fetched as the codec's."""
        config = tmp_path / "config.json"
        config.write_text(json.dumps(fields))
        hub.commits[OLD] = {name: full_kyutai, "config.json": config, "model.safetensors": config}
        mimi = Mimi.from_pretrained("kyutai/moshika-pytorch-bf16", parts="encoder", num_codebooks=2)
        assert (mimi.layout, mimi.revision) == ("kyutai", OLD)
        assert hub.files == ["config.json", name]
        pcm = signals.noise(2000)
        np.testing.assert_array_equal(mimi.encode(pcm), full_pair.ours.encode(pcm, num_codebooks=2))

    @pytest.mark.parametrize("shards", [1, 2])
    def test_in_a_folder(self, hub, tmp_path, shards):
        """Of a model with its codec in a folder, only that is fetched: the rest may be gigabytes."""
        source = write_synthetic_family(tmp_path / "source", "qwen3-tts", shards=shards)
        config = tmp_path / "config.json"
        config.write_text('{"model_type": "qwen3_tts", "tts_model_type": "base"}')
        others = dict.fromkeys(("config.json", "model.safetensors", "vocab.json"), config)
        own = {f"speech_tokenizer/{name}": path for name, path in files(source).items()}
        hub.commits[OLD] = others | own
        codec = mimi_codec.load("Qwen/Qwen3-TTS-12Hz-1.7B-Base")
        assert (codec.kind, codec.name, codec.revision) == ("qwen3-tts", "Qwen/Qwen3-TTS-12Hz-1.7B-Base", OLD)
        assert hub.files == sorted(["config.json", *own])
        pcm = signals.noise(2000)
        codes = codec.encode(pcm)
        np.testing.assert_array_equal(codes, mimi_codec.load(source).encode(pcm))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(codec)).encode(pcm), codes)

    def test_without_mimi(self, hub, tiny_dir):
        hub.commits[OLD] = {"README.md": tiny_dir / "config.json"}
        with pytest.raises(LoadError, match=r"someone/else.*model\.safetensors.*README\.md"):
            Mimi.from_pretrained("someone/else")


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "status", "message"),
        [
            (errors.GatedRepoError, 403, r"kyutai/mimi.*login.*said no"),
            (errors.RepositoryNotFoundError, 404, r"kyutai/mimi.*neither a path nor a repository.*said no"),
            (errors.RevisionNotFoundError, 404, r"kyutai/mimi.*revision 'gone'.*said no"),
        ],
    )
    def test_by_name(self, hub, cached, kind, status, message):
        """The hub has answered: what the cache holds is not taken in its place."""
        hub.failure = refusal(kind, status)
        with pytest.raises(LoadError, match=message):
            Mimi.from_pretrained("kyutai/mimi", revision="gone", cache_dir=cached)
        assert not hub.downloaded

    @pytest.fixture
    def cached(self, tiny_dir, tmp_path) -> Path:
        """A cache that holds the old commit as the main branch and as "gone"."""
        root = tmp_path / "hub" / "models--kyutai--mimi"
        snapshot = root / "snapshots" / OLD
        snapshot.mkdir(parents=True)
        for name, source in files(tiny_dir).items():
            (snapshot / name).write_bytes(source.read_bytes())
        (root / "refs").mkdir()
        for ref in ("main", "gone"):
            (root / "refs" / ref).write_text(OLD)
        return tmp_path / "hub"

    @pytest.mark.parametrize(
        "failure",
        [ConnectionError("no route"), TimeoutError("too slow"), refusal(errors.HfHubHTTPError, 503)],
        ids=repr,
    )
    def test_a_hub_that_cannot_be_reached(self, hub, cached, tiny, tmp_path, monkeypatch, failure):
        """The cache serves; without one the message says why the network did not."""
        hub.failure = failure
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", REAL_DOWNLOAD)  # from the cache, as it is true
        mimi = Mimi.from_pretrained("kyutai/mimi", cache_dir=cached)
        assert mimi.revision == OLD
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))
        with pytest.raises(LoadError, match=f"kyutai/mimi.*cannot be reached.*{failure}"):
            Mimi.from_pretrained("kyutai/mimi", cache_dir=tmp_path / "empty")

    def test_a_download_that_breaks_off(self, hub):
        del hub.commits[OLD]["model.safetensors"]
        hub.commits[OLD]["model.safetensors"] = Path("/nowhere/at/all")
        with pytest.raises(LoadError, match=r"cannot fetch model\.safetensors of kyutai/mimi"):
            Mimi.from_pretrained("kyutai/mimi")
