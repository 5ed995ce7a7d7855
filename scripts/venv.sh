# Sourced by the other scripts: `prepare EXTRAS` makes .venv in the repository's root and installs
# the package there with these extras, unless that is done already.
#
#   PYTHON=/path/to/python3.12             the interpreter to use
#   PIP_EXTRA_INDEX_URL=…                  pip's own variable: with PyTorch's index of CPU builds
#                                          the download is 200 MB in place of several GB
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    echo "$1" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "python: none of version 3.11 or later on this machine; install one, or name it: \
PYTHON=/path/to/python3.11 bash $0"
}

# Debian packs the module that puts pip into a new environment (ensurepip) apart; an installed pip
# of version 22.3 or later does as well.
make_environment() {
    local python="$1"
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$root/.venv"
    elif "$python" -m pip --version >/dev/null 2>&1 \
        && "$python" -m venv --without-pip "$root/.venv" \
        && "$python" -m pip --python "$root/.venv/bin/python" install --quiet pip; then
        :
    else
        fail "python: $python cannot make a virtual environment; install its venv package \
(Debian, Ubuntu: apt install python3-venv) and give the same command again"
    fi
}

# The file that says what was installed with these extras, and what it should say: another place,
# or other requirements, and it is installed again.
stamp_of() {
    echo "$root/.venv/.installed-${1//,/-}"
}
wanted_stamp() {
    echo "$root $(cat "$root/setup.cfg" "$root/pyproject.toml" | cksum)"
}

is_prepared() {
    local stamp
    stamp="$(stamp_of "$1")"
    [[ -f "$stamp" && "$(cat "$stamp")" == "$(wanted_stamp)" ]] \
        && "$root/.venv/bin/python" -c '' 2>/dev/null
}

prepare() {
    local extras="$1" python
    if is_prepared "$extras"; then
        return
    fi
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python="$(find_python)"
        echo "Making the virtual environment .venv with $python …"
        make_environment "$python"
    fi
    echo "Installing gancompress[$extras] into .venv; the first time takes minutes …"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -e "$root[$extras]" \
        || fail "pip: gancompress[$extras] could not be installed (see above); \
with a network and 8 GB free, give the same command again"
    wanted_stamp >"$(stamp_of "$extras")"
}
