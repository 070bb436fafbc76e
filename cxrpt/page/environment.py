"""Templates of a package that makes a page, with the style sheet (`base.css`) and the filters that all pages share."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_environment(package: str) -> Environment:
    """An environment over `package`'s folder `templates`: everything is escaped, and a name that is not given is an error."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("cxrpt.page")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": lambda value: f"{value:,}", "size": size_words, "share": share_words}
    return made


def share_words(part: int, whole: int) -> str:
    """A share in per cent, with more digits where it is close to none or all."""
    if not whole:
        return "–"
    share = part / whole
    return f"{share:.1%}" if 0.001 <= share <= 0.999 or share in (0.0, 1.0) else f"{share:.3%}"


def size_words(num_bytes: float) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.3g} TB"
