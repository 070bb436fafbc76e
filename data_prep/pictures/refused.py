"""What readers raise for an input that is not usable."""

from data_prep.ledger import Reason


class Refused(Exception):
    """The input is not usable; holds a reason of the ledger's list and no text."""

    def __init__(self, reason: Reason):
        super().__init__(reason.value)
        self.reason = reason
