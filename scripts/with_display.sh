#!/usr/bin/env bash
# Runs a command where Qt can open windows: on the display there is, otherwise on a virtual one.
# Usage: with_display.sh [--if-there-is-one] COMMAND...
#   --if-there-is-one   without a display, run the command as it is
set -euo pipefail
. "$(dirname "$0")/system_packages.sh"

virtual=yes
if [ "$1" = --if-there-is-one ]; then
    virtual=no
    shift
fi

if [ "$(uname -s)" != Linux ]; then
    exec "$@"
fi
has_display=${DISPLAY:-${WAYLAND_DISPLAY:-}}
if [ -z "$has_display" ] && [ "$virtual" = no ]; then
    exec "$@"
fi

# What Qt and OpenGL load at run time, and the Debian package each is in.
needed="
    libGL.so.1              libgl1
    libEGL.so.1             libegl1
    libOpenGL.so.0          libopengl0
    libglib-2.0.so.0        libglib2.0-0
    libfontconfig.so.1      libfontconfig1
    libdbus-1.so.3          libdbus-1-3
    libxkbcommon-x11.so.0   libxkbcommon-x11-0
    libxcb-cursor.so.0      libxcb-cursor0
    libxcb-icccm.so.4       libxcb-icccm4
    libxcb-image.so.0       libxcb-image0
    libxcb-keysyms.so.1     libxcb-keysyms1
    libxcb-randr.so.0       libxcb-randr0
    libxcb-render-util.so.0 libxcb-render-util0
    libxcb-shape.so.0       libxcb-shape0
    libxcb-xinerama.so.0    libxcb-xinerama0
"
libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
missing=()
while read -r library package; do
    if [ -n "$library" ] && ! grep -qF "$library" <<<"$libraries"; then
        missing+=("$package")
    fi
done <<<"$needed"
if command -v dpkg-query >/dev/null \
    && ! dpkg-query --show --showformat '${Status}' libgl1-mesa-dri 2>/dev/null | grep -q 'ok installed'; then
    missing+=(libgl1-mesa-dri)
fi
if [ -z "$has_display" ]; then
    command -v xvfb-run >/dev/null || missing+=(xvfb)
    command -v xauth >/dev/null || missing+=(xauth)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    install_system_packages "${missing[@]}"
fi

if [ -n "$has_display" ]; then
    exec "$@"
fi
exec xvfb-run --auto-servernum --server-args='-screen 0 1920x1200x24' "$@"
