"""Every public name of the package with what its docstring has to describe."""

import ast
import enum
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from types import FunctionType
from typing import Any

# Where users import from. Other modules are how these are made.
MODULES = (
    "mimi_codec.aio",
    "mimi_codec.audio",
    "mimi_codec.config",
    "mimi_codec.corpora",
    "mimi_codec.errors",
    "mimi_codec.latent_codec",
    "mimi_codec.loading",
    "mimi_codec.model",
    "mimi_codec.qwen",
    "mimi_codec.streams",
    "mimi_codec.synthetic",
    "mimi_codec.token_codec",
    "mimi_codec.token_files",
    "mimi_codec.tokens",
    "mimi_codec.tokens.csm",
    "mimi_codec.tokens.hf_moshi",
    "mimi_codec.tokens.stt",
    "mimi_codec.tokens.talker",
    "mimi_codec.tokens.talker_prompts",
    "mimi_codec.moshi",
    "mimi_codec.pocket_tts",
    "mimi_codec.qwen_tts",
    "mimi_codec.vllm_omni",
    "mimi_codec.ray",
    "mimi_codec.rustymimi",
    "mimi_codec.serve",
    "mimi_codec.transformers",
    "mimi_codec.vibevoice",
)


@dataclass(frozen=True)
class Public:
    """A class, a function, or a method or property of a class."""

    name: str
    value: Any
    owner: type | None = None
    static: bool = False

    @property
    def docstring(self) -> str:
        return inspect.getdoc(self.value) or ""

    @property
    def is_class(self) -> bool:
        return isinstance(self.value, type)

    @property
    def is_record(self) -> bool:
        """Whether its fields are its arguments, each described where it stands."""
        return self.is_class and (is_dataclass(self.value) or hasattr(self.value, "_fields"))

    @property
    def function(self) -> FunctionType | None:
        """What is called; None for what takes no arguments of the caller's."""
        if self.is_class:
            made_by = vars(self.value).get("__init__")
            return made_by if isinstance(made_by, FunctionType) and not self.is_record else None
        return self.value if isinstance(self.value, FunctionType) else None

    def parameters(self) -> list[str]:
        if self.function is None:
            return []
        names = list(inspect.signature(self.function).parameters.values())
        bound = (self.owner is not None and not self.static) or self.is_class
        return [parameter.name for parameter in names[bound:]]

    def gives_something(self) -> bool:
        if self.is_class or self.function is None:
            return False
        return inspect.signature(self.function).return_annotation not in ("None", None, "NoReturn")

    def raises(self) -> bool:
        """Whether it raises by itself, not only in what it calls."""
        if self.function is None:
            return False
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.function)))
        return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def names() -> Iterator[Public]:
    """All of them, each once, under the first name it has."""
    seen: set[int] = set()
    for path in MODULES:
        module = importlib.import_module(path)
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        for name in sorted(public):
            value = getattr(module, name)
            described = isinstance(value, (type, FunctionType)) and not (
                isinstance(value, type) and issubclass(value, enum.Enum)
            )
            if described and id(value) not in seen:
                seen.add(id(value))
                yield Public(f"{path}.{name}", value)
                if isinstance(value, type):
                    yield from methods(f"{path}.{name}", value)


def methods(path: str, owner: type) -> Iterator[Public]:
    """The public methods and properties that the package itself defines."""
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.startswith("mimi_codec") and not base.__name__.startswith("_"):
            found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    for name, value in found.items():
        if isinstance(value, staticmethod):
            yield Public(f"{path}.{name}", value.__func__, owner, static=True)
        elif isinstance(value, classmethod):
            yield Public(f"{path}.{name}", value.__func__, owner)
        elif isinstance(value, property) or (isinstance(value, FunctionType) and value.__name__ == name):
            yield Public(f"{path}.{name}", value, owner)


def fields_without_words(record: type) -> set[str]:
    """Fields of a dataclass or named tuple that no string after them describes."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(body, ast.ClassDef)
    pairs = zip(body.body, [*body.body[1:], None], strict=True)
    return {
        statement.target.id
        for statement, after in pairs
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    }
