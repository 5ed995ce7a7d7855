#!/usr/bin/env bash
# bash scripts/quickstart.sh [--dry-run] [--redo] [key=value …]
#
# Sets everything up in .venv and runs the recipe quickstart: teacher, supernet, search, fine-tuning,
# export, and a page that shows the result. Stop it whenever you like and give the same command
# again: it goes on where it was.
#
#   --dry-run    says what would be done, and does nothing of it
#   --redo       sets earlier results aside and begins anew
#   key=value    changes to the recipe: run=/tmp/first search.reduction=10
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

extras=quickstart,onnx
is_dry=false
report=()  # what the page's command takes: all but --redo, as every page is written anew
for argument in "$@"; do
    case "$argument" in
        -h | --help)
            sed -n '2,/^set/{s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --dry-run) is_dry=true ;;
    esac
    [[ "$argument" == --redo ]] || report+=("$argument")
done

if "$is_dry" && ! is_prepared "$extras"; then
    echo "would make the virtual environment $root/.venv and install gancompress[$extras] into it,"
    echo "then: gancompress run quickstart, gancompress report quickstart"
    exit 0
fi
prepare "$extras"

cd "$root"
.venv/bin/gancompress run quickstart "$@"
.venv/bin/gancompress report quickstart ${report[@]+"${report[@]}"}
