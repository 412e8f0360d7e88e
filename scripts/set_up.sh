#!/usr/bin/env bash
# Makes the virtual environment if there is none and installs the project there, editable.
# Usage: set_up.sh PYTHON VENV EXTRA
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/system_packages.sh

python=$1 venv=$2 extra=$3

if [ ! -x "$venv/bin/pip" ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || {
        echo "'$python' does not run. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2
        exit 1
    }
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "'$python' is Python $version; 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..." >&2
        exit 1
    fi
    # Debian ships Python without the part that puts pip into a virtual environment.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        install_system_packages "python$version-venv"
    fi
    echo "Making the virtual environment $venv with Python $version"
    "$python" -m venv --clear "$venv"
fi

echo "Installing napari-unet-cells with its dependencies (the first time takes some minutes)"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[all,$extra]"
