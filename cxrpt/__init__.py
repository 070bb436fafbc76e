"""cxrpt: pre-train one image-text transformer on paired and unpaired chest radiographs and reports."""

__version__ = "0.1.0"
