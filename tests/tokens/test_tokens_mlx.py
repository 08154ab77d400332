"""The second convention, by running `moshi_mlx`'s `LmGen` on a tiny random language model."""

import numpy as np
import pytest
from token_layouts import CARD, TEXT_CARD, codes

from mimi_codec.tokens import DuplexStream, from_config

mx = pytest.importorskip("mlx.core")
models = pytest.importorskip("moshi_mlx.models")
utils = pytest.importorskip("moshi_mlx.utils")

TINY = {
    "card": CARD,
    "text_card": TEXT_CARD,
    "existing_text_padding_id": 3,
    "dim": 16,
    "num_heads": 2,
    "num_layers": 1,
    "hidden_scale": 2,
    "causal": True,
    "layer_scale": None,
    "context": 100,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "conv_layout": False,
    "depformer_dim": 16,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_dim_feedforward": 32,
    "depformer_causal": True,
    "depformer_layer_scale": None,
    "depformer_context": 8,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
}


@pytest.mark.parametrize(
    ("generated", "delays"),
    [(3, [0, 0, 1, 1, 0, 1, 1]), (3, [0, 0, 2, 2, 0, 2, 2]), (2, [0, 3, 1, 0, 2]), (0, [0, 0, 0, 0])],
)
def test_lmgen(generated, delays):
    fields = TINY | {"n_q": len(delays) - 1, "dep_q": generated, "delays": delays}
    layout = from_config(fields)
    mx.random.seed(1)
    lm = models.Lm(models.LmConfig.from_config_dict(fields))
    read, texts, audios, sample = [], [], [], lm._sample

    def record(text, audio, *rest, **options):
        read.append(np.concatenate([np.array(text).reshape(1), [np.array(row).item() for row in audio]]))
        return sample(text, audio, *rest, **options)

    lm._sample = record
    gen = models.LmGen(
        model=lm,
        max_steps=40,
        text_sampler=utils.Sampler(),
        audio_sampler=utils.Sampler(),
        on_text_hook=lambda tokens: texts.append(np.array(tokens).reshape(-1)),
        on_audio_hook=lambda tokens: audios.append(np.array(tokens).reshape(generated, 1)),
    )
    stream = DuplexStream(layout, convention="rust")
    for step in range(20):
        user = codes((layout.num_user, 1), step)
        gen.step(mx.array(user[np.newaxis, :, 0]))
        np.testing.assert_array_equal(stream.inputs(user)[0, :, 0], read[-1])
        stream.push(user, texts[-1], audios[-1] if generated else None)
        frame, theirs = stream.pull(), gen.last_audio_tokens()
        assert (frame is None) == (theirs is None) == (step < layout.max_delay)
        if frame is not None:
            np.testing.assert_array_equal(frame.codes[:, 0], np.array(theirs)[0])
    assert len(read) == 20
