"""`get_mimi` with the arguments of `moshi.models.loaders.get_mimi`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from .._devices import Device
from .._torch import ScratchDirectory, as_files_hold
from ..config import MimiConfig
from ..errors import ConfigError, InputTypeError, LoadError
from ..hub import CONFIG, WEIGHTS
from ..model import Mimi
from .model import MimiModel

SAFETENSORS = (".safetensors", ".sft", ".sfts")

# moshi's names of what a `MimiConfig` holds, by part of its configuration
FIELDS = {
    "": {"sample_rate": "sampling_rate", "frame_rate": "frame_rate", "channels": "audio_channels"},
    "seanet": {
        "channels": "audio_channels",
        "dimension": "hidden_size",
        "causal": "use_causal_conv",
        "n_filters": "num_filters",
        "n_residual_layers": "num_residual_layers",
        "compress": "compress",
        "dilation_base": "dilation_growth_rate",
        "kernel_size": "kernel_size",
        "residual_kernel_size": "residual_kernel_size",
        "last_kernel_size": "last_kernel_size",
        "pad_mode": "pad_mode",
        "ratios": "upsampling_ratios",
    },
    "quantizer": {
        "dimension": "codebook_dim",
        "n_q": "num_quantizers",
        "n_q_semantic": "num_semantic_quantizers",
        "bins": "codebook_size",
        "input_dimension": "hidden_size",
        "output_dimension": "hidden_size",
    },
    "transformer": {
        "d_model": "hidden_size",
        "num_heads": "num_attention_heads",
        "num_layers": "num_hidden_layers",
        "context": "sliding_window",
        "max_period": "rope_theta",
        "dim_feedforward": "intermediate_size",
        "layer_scale": "layer_scale_initial_scale",
        "input_dimension": "hidden_size",
    },
}

# What else these parts say has one value in every Mimi, and this codec computes that one.
FIXED: dict[str, dict[str, Any]] = {
    "": {},
    "seanet": {"activation": "ELU", "norm": "none", "disable_norm_outer_blocks": 0, "true_skip": True},
    "quantizer": {},
    "transformer": {
        "causal": True,
        "conv_layout": True,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
    },
}


def get_mimi(
    filename: str | os.PathLike[str] | None,
    mimi_config: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    num_codebooks: int = 8,
    *,
    codec_device: Device = "cpu",
) -> MimiModel:
    """Load Mimi as moshi does.

    Args:
        filename: Kyutai's file (`tokenizer-*.safetensors`), a PyTorch checkpoint of the same tensors, or anything that
            `mimi_codec.Mimi.from_pretrained` takes.
        mimi_config: moshi's configuration of the codec; None is the released one, or that beside the file.
        device: where results are wanted.
        num_codebooks: how many codebooks `encode` gives.
        codec_device: where the codec runs, as in `mimi_codec.Mimi.from_pretrained`.

    Returns:
        The model.

    Raises:
        LoadError: there is no such file, or it is corrupt.
        WeightsError: the file does not hold the tensors of this configuration.
        ConfigError: the configuration is not supported, or there are fewer codebooks.
        DeviceError: `codec_device` is not there, or something that it needs is missing.
        InputTypeError: `filename` is not a path, or `mimi_config` is not a mapping.

    Example:
        >>> from mimi_codec.demo_files import demo_directory
        >>> from mimi_codec.moshi import get_mimi
        >>> get_mimi(demo_directory(), num_codebooks=8).frame_rate
        12.5
    """
    if filename is None:
        raise ConfigError("get_mimi needs the file of the weights, got None; a codec without weights cannot be used")
    if mimi_config is not None and not isinstance(mimi_config, Mapping):
        raise InputTypeError(
            f"mimi_config must be a mapping such as moshi's configuration of the codec, got {mimi_config!r}; "
            "give a device as device="
        )
    if not isinstance(filename, str | os.PathLike):
        raise InputTypeError(f"filename must be a path, got {type(filename).__name__}")
    files = None
    if mimi_config is not None or Path(filename).suffix in (".pt", ".pth", ".th", ".bin"):
        files = ScratchDirectory()
        _collect(Path(filename), mimi_config, files.path)
    codec = Mimi.from_pretrained(filename if files is None else files.path, device=codec_device)
    model = MimiModel(codec, num_codebooks)
    model._files = files
    return model.to(torch.device(device))


def to_mimi_config(fields: Mapping[str, Any]) -> MimiConfig:
    """moshi's configuration of the codec as ours. Raises `ConfigError` for what this codec does not compute."""
    parts: dict[str, Any] = {"": {name: value for name, value in fields.items() if name not in FIELDS}}
    try:
        parts |= {part: dict(fields[part]) for part in FIELDS if part}
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"mimi_config must have the parts seanet, quantizer and transformer: {error!r}") from error
    values: dict[str, Any] = {}
    for part, entries in parts.items():
        for name, value in entries.items():
            where = f"mimi_config {part}.{name}" if part else f"mimi_config {name}"
            if name == "output_dimensions" and part == "transformer":
                single = isinstance(value, list | tuple) and len(value) == 1
                name, value = "input_dimension", value[0] if single else value
            if name in FIXED[part]:
                if value != FIXED[part][name]:
                    raise ConfigError(f"{where} must be {FIXED[part][name]!r}, got {value!r}")
            elif name not in FIELDS[part]:
                raise ConfigError(f"{where} is not known, got {value!r}")
            elif values.setdefault(FIELDS[part][name], value) != value:
                raise ConfigError(f"{where} must be {values[FIELDS[part][name]]!r} as elsewhere, got {value!r}")
    if "hidden_size" in values:
        values["upsample_groups"] = values["hidden_size"]
    if "codebook_dim" in values:
        values["vector_quantization_hidden_dimension"] = values["codebook_dim"]
    if "num_attention_heads" in values:
        values["num_key_value_heads"] = values["num_attention_heads"]
    return MimiConfig.from_dict(values)


def _collect(source: Path, mimi_config: Mapping[str, Any] | None, directory: Path) -> None:
    """Put the weights and their configuration into one directory, as the codec reads them."""
    if not source.is_file():
        raise LoadError(f"no such file: {source}")
    if source.suffix in SAFETENSORS:
        try:
            (directory / WEIGHTS).symlink_to(source.resolve())
        except OSError:  # where links are not allowed
            shutil.copyfile(source, directory / WEIGHTS)
    else:
        save_file(_unpickle(source), directory / WEIGHTS)
    if mimi_config is not None:
        config = json.dumps(to_mimi_config(mimi_config).to_dict(), indent=2)
        (directory / CONFIG).write_text(config + "\n")


def _unpickle(source: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch checkpoint, which moshi keeps under "model"."""
    try:
        tensors = torch.load(source, "cpu", weights_only=True)["model"]
        return as_files_hold(tensors)
    except Exception as error:  # a pickle can fail in any way
        raise LoadError(f"{source} is not a PyTorch checkpoint with tensors under 'model': {error}") from error
