# Sourced: installs Debian packages where that is allowed, and says what to install where it is not.

install_system_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "This machine lacks what Debian calls: $*. Install it with this system's own tool." >&2
        return 1
    fi
    local as_root=(env DEBIAN_FRONTEND=noninteractive)
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n "${as_root[@]}")
    fi
    if "${as_root[@]}" true 2>/dev/null; then
        echo "Installing system packages: $*"
        # Lists that cannot be refreshed may still be good enough to install from.
        "${as_root[@]}" apt-get update -qq || true
        if "${as_root[@]}" apt-get install -qq --yes --no-install-recommends "$@" >/dev/null; then
            return
        fi
    fi
    echo "This machine lacks some system packages. Install them, then try again:" >&2
    echo "    sudo apt-get install $*" >&2
    return 1
}
