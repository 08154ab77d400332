"""Names of models: what is a path, what is a repository of the hub, and what the hub's cache holds. No network."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import mimi_codec
import signals
from mimi_codec import Mimi
from mimi_codec.errors import InputTypeError, LoadError
from mimi_codec.synthetic import write_synthetic_family

CLIP = signals.noise(333)
PATHS = [
    "./mimi",
    "./kyutai/mimi",
    "../mimi",
    "/mimi",
    "/kyutai/mimi",
    "kyutai/",
    "kyutai/mimi/",
    "a/b/c",
    "kyutai//mimi",
]
HOMES = ["~", "~/mimi", "~nobody-of-this-name/mimi"]
DOTS = [".mimi", "mimi.", "-mimi", "kyutai/-mimi", "kyutai/.mimi", "a--b"]
TEXTS = [" ", "mi mi", "mi\nmi", "kyutai/mimi\n", "\0", "caf\u00e9/mimi", "C:\\mimi", ".\\mimi", "a" * 97, "a" * 5000]
FILES = ["mimi.safetensors", "kyutai/model.safetensors.index.json", "kyutai/config.json", "kyutai/mimi.git"]


class TestCache:
    """`kyutai/mimi` in a hub cache built by hand; no network."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    @pytest.fixture
    def cache(self, tmp_path):
        """A cache that holds one snapshot of a repository."""

        def build(files: dict[str, Path], repository: str = "kyutai/mimi") -> Path:
            root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
            snapshot = root / "snapshots" / self.COMMIT
            snapshot.mkdir(parents=True)
            (root / "refs").mkdir()
            (root / "refs" / "main").write_text(self.COMMIT)
            for name, source in files.items():
                (snapshot / name).parent.mkdir(exist_ok=True)
                shutil.copy(source, snapshot / name)
            return tmp_path / "hub"

        return build

    LOAD = """
        import sys
        import numpy as np
        import mimi_codec
        mimi = mimi_codec.Mimi.from_pretrained(sys.argv[1])
        print(mimi.revision, mimi.name, mimi.encode(np.linspace(-1, 1, 200, dtype=np.float32)).tolist())
    """

    def test_cached_repository(self, tiny, tiny_dir, cache, run_python):
        hub = cache({name: tiny_dir / name for name in ("config.json", "model.safetensors")})
        printed = run_python(self.LOAD, "kyutai/mimi", HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(hub))
        codes = tiny.encode(np.linspace(-1, 1, 200, dtype=np.float32)).tolist()
        assert printed.strip() == f"{self.COMMIT} kyutai/mimi {codes}"

    def test_local_files_only_and_cache_dir(self, tiny, tiny_dir, cache):
        hub = cache({name: tiny_dir / name for name in ("config.json", "model.safetensors")})
        options = {"local_files_only": True, "cache_dir": hub}
        for revision in (None, "main", self.COMMIT):
            mimi = Mimi.from_pretrained("kyutai/mimi", revision=revision, **options)
            assert (mimi.name, mimi.revision) == ("kyutai/mimi", self.COMMIT)
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))
        with pytest.raises(LoadError, match=r"kyutai/mimi.*'elsewhere'"):
            Mimi.from_pretrained("kyutai/mimi", revision="elsewhere", **options)

    def test_cached_shards(self, tiny, tiny_pair, cache, tmp_path):
        import synthetic

        source = synthetic.write(tiny_pair.theirs, tmp_path / "sharded", shards=2)
        hub = cache({path.name: path for path in source.iterdir()})
        mimi = Mimi.from_pretrained("kyutai/mimi", local_files_only=True, cache_dir=hub)
        np.testing.assert_array_equal(mimi.encode(CLIP), tiny.encode(CLIP))

    def test_cached_repository_of_kyutai(self, full_kyutai, full_pair, cache, tmp_path):
        """Their repositories hold the codec's file next to a language model with a configuration of its own."""
        (tmp_path / "config.json").write_text('{"model_type": "moshi", "dim": 4096}')
        name = "tokenizer-e351c8d8-checkpoint125.safetensors"
        hub = cache({name: full_kyutai, "config.json": tmp_path / "config.json"}, "kyutai/moshika-pytorch-bf16")
        mimi = Mimi.from_pretrained(
            "kyutai/moshika-pytorch-bf16", local_files_only=True, cache_dir=hub, num_codebooks=8, parts="encoder"
        )
        assert mimi.layout == "kyutai"
        pcm = signals.noise(2000)
        np.testing.assert_array_equal(mimi.encode(pcm), full_pair.ours.encode(pcm, num_codebooks=8))
        shutil.rmtree(hub)

    def test_a_cached_folder(self, cache, tmp_path):
        """A model whose codec is in a folder, with or without its own weights beside it."""
        source = write_synthetic_family(tmp_path / "source", "qwen3-tts")
        (tmp_path / "config.json").write_text('{"model_type": "qwen3_tts"}')
        own = {f"speech_tokenizer/{path.name}": path for path in source.iterdir()}
        hub = cache({"config.json": tmp_path / "config.json"} | own, "Qwen/Qwen3-TTS-12Hz-1.7B-Base")
        options = {"local_files_only": True, "cache_dir": hub}
        assert mimi_codec.load("Qwen/Qwen3-TTS-12Hz-1.7B-Base", **options).kind == "qwen3-tts"
        snapshot = next(hub.glob("*/snapshots/*"))
        shutil.copy(tmp_path / "config.json", snapshot / "model.safetensors")
        assert mimi_codec.load("Qwen/Qwen3-TTS-12Hz-1.7B-Base", **options).kind == "qwen3-tts"

    def test_empty_cache(self, run_python, tmp_path):
        """Offline with nothing cached: the message says what it looked for and what to do."""
        script = """
            import mimi_codec
            try:
                mimi_codec.Mimi.from_pretrained("kyutai/mimi")
            except mimi_codec.LoadError as error:
                print(error)
        """
        printed = run_python(script, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "empty"))
        assert "kyutai/mimi" in printed
        assert "cache" in printed
        assert "download" in printed

    def test_a_repository_without_mimi(self, cache, tiny_dir):
        hub = cache({"config.json": tiny_dir / "config.json"}, "someone/else")
        with pytest.raises(LoadError, match=r"someone/else.*model\.safetensors"):
            Mimi.from_pretrained("someone/else", local_files_only=True, cache_dir=hub)


class TestNames:
    """What cannot be the name of a repository is never asked of the hub."""

    @pytest.fixture(autouse=True)
    def no_hub(self, monkeypatch):
        import huggingface_hub

        def asked(*arguments, **options):
            raise AssertionError(f"the hub was asked for {arguments}")

        for name in ("HfApi", "hf_hub_download", "snapshot_download"):
            monkeypatch.setattr(huggingface_hub, name, asked)

    @pytest.mark.parametrize(
        "name",
        [*PATHS, *HOMES, *DOTS, *TEXTS, *FILES],
        ids=lambda name: repr(name)[:24],
    )
    def test_paths_that_are_not_there(self, name, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        with pytest.raises(LoadError, match=r"no such file or directory|cannot read"):
            Mimi.from_pretrained(name)

    def test_nothing(self, tiny_dir, monkeypatch):
        """An empty name is not the working directory, even if that holds a model."""
        monkeypatch.chdir(tiny_dir)
        with pytest.raises(LoadError, match="empty"):
            Mimi.from_pretrained("")
        assert Mimi.from_pretrained(".").num_codebooks == 6

    @pytest.mark.parametrize(
        ("url", "advice"),
        [
            ("https://huggingface.co/kyutai/mimi", r"'kyutai/mimi'"),
            ("http://hf.co/kyutai/mimi/resolve/main/model.safetensors", r"'kyutai/mimi'"),
            ("HTTPS://example.org/model.safetensors", "download"),
            ("s3://bucket/mimi", "download"),
            ("file:///models/mimi", "download"),
        ],
    )
    def test_urls(self, url, advice):
        with pytest.raises(LoadError, match=f"URL.*{advice}"):
            Mimi.from_pretrained(url)

    @pytest.mark.parametrize("name", [None, 3, b"kyutai/mimi", ["kyutai/mimi"]])
    def test_what_is_not_text(self, name):
        with pytest.raises(InputTypeError, match=f"name_or_path.*{type(name).__name__}"):
            Mimi.from_pretrained(name)

    def test_a_revision_that_is_not_text(self):
        with pytest.raises(InputTypeError, match=r"revision.*int"):
            Mimi.from_pretrained("kyutai/mimi", revision=3)

    def test_revision_of_a_path(self, tiny_dir):
        with pytest.raises(LoadError, match="revision"):
            Mimi.from_pretrained(tiny_dir, revision="main")

    def test_a_path_wins_over_a_repository(self, tiny_dir, tmp_path, monkeypatch):
        shutil.copytree(tiny_dir, tmp_path / "kyutai" / "mimi")
        monkeypatch.chdir(tmp_path)
        mimi = Mimi.from_pretrained("kyutai/mimi")
        assert (mimi.num_codebooks, mimi.revision) == (6, None)
        assert Mimi.from_pretrained("./kyutai/mimi/").num_codebooks == 6
