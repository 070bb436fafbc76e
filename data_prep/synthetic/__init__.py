"""A made-up hospital: real DICOM files of drawn chests, and reports that say what is drawn."""

from data_prep.synthetic.canaries import canaries
from data_prep.synthetic.hospital import make_hospital

__all__ = ["canaries", "make_hospital"]
