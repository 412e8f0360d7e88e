"""Whether this installation is whole: no other distribution owns the same import package."""

from importlib.metadata import PackageNotFoundError, version

from napari_unet.engine.base.errors import UNetError

_OTHER_DISTRIBUTION = "napari-unet"


class InstallationError(UNetError):
    """The installed files cannot be relied on."""


def check_installation() -> None:
    """Refuse to start beside the distribution that overwrites our files.

    The distribution `napari-unet`, another project, installs an import package
    `napari_unet` as well; whichever of the two was installed last has replaced
    files of the other.

    Raises
    ------
    InstallationError
        If that distribution is installed.
    """
    try:
        other_version = version(_OTHER_DISTRIBUTION)
    except PackageNotFoundError:
        return
    raise InstallationError(
        f"'{_OTHER_DISTRIBUTION}' {other_version} is installed beside 'napari-unet-cells', and "
        "each overwrites the files of the other. Run 'pip uninstall napari-unet', then "
        "'pip install --force-reinstall --no-deps napari-unet-cells'."
    )
