#!/bin/sh
# Installs CrossRec into a folder of its own: what deploy/Dockerfile runs, and tests/outside without a container engine.
#   install.sh packages TARGET LOCK     a Python environment with the packages of a lock file, each checked by its hash,
#                                       and their licences in THIRD_PARTY_NOTICES.txt
#   install.sh program TARGET SOURCE    the program itself, out of a checkout
# PYTHON: the interpreter of the environment (python3.11 or newer).
set -eu

step=$1 target=$2 from=$3

case "$step" in
packages)
    "${PYTHON:-python3}" -m venv "$target"
    "$target/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: -r "$from"
    "$target/bin/python" "$(dirname "$0")/notices.py" "$target/THIRD_PARTY_NOTICES.txt"
    ;;
program)
    mkdir -p "$target/app"
    for folder in services export feature_repo proto/gen; do
        mkdir -p "$target/app/$folder"
        cp -R "$from/$folder/." "$target/app/$folder/"
    done
    # As an editable installation does: the folders are used where they are, so nothing has to be built.
    site=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$target/app" "$target/app/proto/gen" > "$site/crossrec.pth"
    printf '#!%s\nfrom services.main import main\n\nmain()\n' "$target/bin/python" > "$target/bin/crossrec"
    chmod 755 "$target/bin/crossrec"
    "$target/bin/python" -m compileall -q "$target/app"
    ;;
*)
    echo "install.sh: no step $step; there are packages and program" >&2
    exit 2
    ;;
esac
