"""Every error the engine raises on purpose; each message says what to do."""


class UNetError(Exception):
    """Something the user can put right; `str(error)` is one readable sentence."""


class ImageError(UNetError):
    """An image cannot be used as it is."""


class ImageShapeError(ImageError):
    """An image or a label image has axes that do not fit."""


class ImageValueError(ImageError):
    """An image has a dtype or pixel values that do not fit."""


class LabelsError(UNetError):
    """A label image cannot be used as it is."""


class SettingsError(UNetError):
    """A setting is outside of what makes sense."""


class CheckpointError(UNetError):
    """A model file cannot be read, trusted or written."""


class DeviceError(UNetError):
    """The device that was asked for is not there or has too little memory."""


class FileError(UNetError):
    """An image file cannot be read or written."""


class ClusterError(UNetError):
    """Workers or their scheduler are not there, or not as they must be."""


class TrainingError(UNetError):
    """Training cannot start or go on."""


class TrackingError(UNetError):
    """Cells cannot be followed through time."""


class CodeInFileError(CheckpointError):
    """A model file carries code, which runs only after the user's explicit yes."""
