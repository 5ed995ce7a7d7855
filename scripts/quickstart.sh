#!/usr/bin/env bash
# bash scripts/quickstart.sh [key=value …]
#
# Sets everything up in .venv and runs the recipe quickstart: teacher, supernet, search, fine-tuning,
# export, and a page that shows the result. Stop it whenever you like and give the same command
# again: it goes on where it was.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare quickstart,onnx

cd "$root"
.venv/bin/gancompress run quickstart "$@"
.venv/bin/gancompress report quickstart "$@"
