"""The errors of the whole package, each with a text made for people.

GatewayError
├── OptionsError    the options are wrong: the text names the key
├── StorageError    the disk refused: nothing was stored
└── IdentityError   a request carries no usable charge point id
"""


class GatewayError(Exception):
    """Base of all errors of the gateway; `str()` is one sentence for people."""


class OptionsError(GatewayError):
    """Tell that the options are wrong; the text names the key."""


class StorageError(GatewayError):
    """Tell that the disk refused to store something."""


class IdentityError(GatewayError):
    """Tell why a request carries no usable charge point id."""
