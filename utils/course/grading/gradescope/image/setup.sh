#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image: Python, the packages, what the sandbox needs.
# Afterwards nothing needs a network.
set -euo pipefail
source_folder="${AUTOGRADER_ROOT:-/autograder}/source"
cd "$source_folder"
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

newest() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

apt-get update
# setpriv and prlimit are in util-linux. Where the container grants namespaces, bubblewrap makes the sandbox a full one.
apt-get install -y --no-install-recommends ca-certificates util-linux python3 python3-venv
apt-get install -y --no-install-recommends bubblewrap libseccomp2 || echo "No bubblewrap here: the sandbox will be of level uid."
python="$(newest)"
if [ -z "$python" ]; then
    # Ubuntu 22.04 has 3.10 as its python3, and 3.11 beside it.
    apt-get install -y --no-install-recommends python3.11 python3.11-venv
    python="$(newest)"
elif [ "$python" != python3 ]; then
    apt-get install -y --no-install-recommends "$python-venv"
fi
if [ -z "$python" ]; then
    echo "The course needs Python 3.11 or newer: choose a newer base image in Gradescope's settings." >&2
    exit 1
fi

"$python" -m venv .venv
pip() { .venv/bin/python -m pip "$@" --quiet --constraint course/constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu; }
pip install torch
pip install --requirement course/requirements.txt
# A first import now, so that no submission pays for compiling the packages.
(cd course && PYTHONPATH=. ../.venv/bin/python -c "import torch, transformer_lens, utils.course.grading.gradescope.run")
