#!/usr/bin/env bash
# Make sure that packages of Debian or Ubuntu are installed: install them when root, say the line to run otherwise.
set -eu

if [ "${SYSTEM:-yes}" = no ]; then
    exit 0
fi
if ! command -v apt-get > /dev/null; then
    echo "This needs: $*. Install them the way of this system, then run make again with SYSTEM=no." >&2
    exit 1
fi
missing=()
for package in "$@"; do
    status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Some system packages are missing. Install them with this line, then run make again:" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update || echo "Not all package lists are fresh; trying with those that are there." >&2
apt-get install --yes --no-install-recommends "${missing[@]}"
