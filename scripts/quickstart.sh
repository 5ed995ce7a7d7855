#!/usr/bin/env bash
# bash scripts/quickstart.sh [key=value …]
#
# Sets everything up in .venv and runs the recipe quickstart: teacher, supernet, search, export.
# Stop it whenever you like and give the same command again: it goes on where it was.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare quickstart,onnx

cd "$root"
exec .venv/bin/gancompress run quickstart "$@"
