"""cxrpt: pre-train one image-text transformer on paired and unpaired chest radiographs and reports."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxrpt.pretrained import load_pretrained

__version__ = "0.1.0"
__all__ = ["__version__", "load_pretrained"]


def __getattr__(name: str) -> Any:
    # Late: whoever imports cxrpt on a login node does without torch.
    if name == "load_pretrained":
        from cxrpt.pretrained import load_pretrained

        return load_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
