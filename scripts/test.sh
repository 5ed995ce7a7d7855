#!/usr/bin/env bash
# bash scripts/test.sh [arguments of pytest]
#
# Sets everything up in .venv and runs the tests: some ten minutes on two cores, no network
# after the set-up.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare quickstart,onnx,openvino,executorch,demo,tensorboard,docs,import,lpips,test

cd "$root"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE  # two processes, one thread each
# Files in order on each process, so that what a file sets up once is set up once.
exec .venv/bin/pytest -n 2 --dist worksteal "$@"
