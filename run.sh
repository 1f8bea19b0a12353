#!/usr/bin/env bash
# Installs Convoy into .venv beside this file, once, and trains a sweep. Needs Python 3.11 to 3.14.
#
#   ./run.sh                                  trains configs/sweep.py
#   ./run.sh --config=… --workdir=…           flags go to `python -m bench.main` as they are
#   ./run.sh test [pytest flags]              linters, types, tests
#
#   PYTHON=/path/to/python3 ./run.sh          with this Python
#   CONVOY_DEVICE=cpu|cuda12|cuda13|tpu …     with this build of JAX; see BUILD.md for the rule
set -euo pipefail

config=configs/sweep.py
case ${PYTHON-} in
    /* | '') ;;
    */*) PYTHON=$PWD/$PYTHON ;; # relative to where the user is, which is about to change
esac
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { # CODE MESSAGE
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# "3.12 /usr/bin/python3.12": an interpreter's version and true place, also from within a .venv.
identity() {
    "$1" -E -c 'import os, sys
print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], os.path.realpath(sys.executable)))' \
        2>/dev/null
}

# Sets `python` to the first interpreter that will do, or ends with one line of advice.
choose_python() {
    local candidate found='' bare=''
    set -- python3.14 python3.13 python3.12 python3.11 python3 python
    [ -z "${PYTHON-}" ] || set -- "$PYTHON"
    for candidate; do
        found=$(identity "$candidate") || continue
        case $found in 3.11\ * | 3.12\ * | 3.13\ * | 3.14\ *) ;; *) continue ;; esac
        if "$candidate" -E -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
        bare=${bare:-$candidate}
    done
    if [ -n "$bare" ]; then
        die 2 "$bare has no venv and ensurepip: on Debian or Ubuntu, apt install python3-venv"
    elif [ -n "${PYTHON-}" ]; then
        die 2 "PYTHON=$PYTHON is ${found:+Python ${found%% *}, }no Python 3.11 to 3.14"
    fi
    die 2 "no Python 3.11 to 3.14 found: install one, or say where with PYTHON=/path/to/python3"
}

# Prints which build of JAX suits this machine.
choose_device() {
    local gpus node chip maker model
    # "580.65.06, 9.0" for each GPU: CUDA 13 needs a driver 580 and Turing, CUDA 12 525 and Maxwell.
    gpus=$(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) ||
        gpus=
    if [ -n "$gpus" ]; then
        gpus=$(LC_ALL=C awk -F ', *' '
            { if (NR == 1 || $1 + 0 < driver) driver = $1 + 0
              if (NR == 1 || $2 + 0 < power) power = $2 + 0 }
            END { if (driver >= 580 && power >= 7.5) print "cuda13"
                  else if (driver >= 525 && power >= 5.2) print "cuda12" }' <<<"$gpus")
        [ -n "$gpus" ] || say "no GPU for JAX, which needs a driver 525 and Maxwell or newer: CPU"
        echo "${gpus:-cpu}"
        return
    fi
    # A TPU is a device to open and, as JAX itself looks for it, a chip of Google's on the PCI bus;
    # the vendor alone says nothing, since its virtual network cards have the same.
    for node in /dev/accel[0-9]* /dev/vfio/[0-9]*; do
        [ -e "$node" ] || continue
        for chip in /sys/bus/pci/devices/*; do
            [ -r "$chip/vendor" ] && [ -r "$chip/device" ] || continue
            read -r maker <"$chip/vendor" || continue
            read -r model <"$chip/device" || continue
            case $maker/$model in
                0x1ae0/0x0027 | 0x1ae0/0x005[6e] | 0x1ae0/0x006[23f] | 0x1ae0/0x0076)
                    echo tpu
                    return
                    ;;
            esac
        done
        break
    done
    echo cpu
}

# What an installation is of; .venv/convoy.NAME holds it once the installation is complete.
stamp() { # REQUIREMENTS…
    printf '%s\n' "$device" "$(identity .venv/bin/python)" "$(cat -- "$@" | cksum)"
}
installed() { # NAME REQUIREMENTS…
    local there
    there=$(cat ".venv/convoy.$1" 2>/dev/null) || return
    shift
    [ "$there" = "$(stamp "$@")" ] || return
    [ -z "${PYTHON-}" ] || [ "$(identity "$PYTHON")" = "$(identity .venv/bin/python)" ]
}
pip_install() { # NAME REQUIREMENTS…
    local name=$1 file flags=()
    shift
    for file; do flags+=(-r "$file"); done
    case $device in cpu) ;; *) flags+=("jax[$device]") ;; esac # at the version that is pinned
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${flags[@]}" ||
        die 1 "the installation failed; pip says why above, and the next call begins again"
    stamp "$@" >".venv/convoy.$name"
}

# Brings .venv to what the requirements say; two calls at once wait for each other.
install() { # WITH_TOOLS
    local base=(requirements.txt) all=(requirements.txt requirements-dev.txt requirements-log.txt)
    if installed base "${base[@]}" && { [ -z "$1" ] || installed dev "${all[@]}"; }; then
        return
    fi
    if command -v flock >/dev/null && exec 9<.; then
        flock -n 9 || { say "waiting for another installation" && flock 9; } || say "cannot lock"
    fi
    if ! installed base "${base[@]}"; then
        choose_python
        say "installing for $device with $python into .venv, once; this takes minutes"
        rm -f .venv/convoy.* # from here on an interruption is noticed
        "$python" -m venv --clear .venv || die 1 "$python cannot make .venv"
        pip_install base "${base[@]}"
    fi
    if [ -n "$1" ] && ! installed dev "${all[@]}"; then
        say "installing what the tests need"
        pip_install dev "${all[@]}"
    fi
    exec 9<&-
}

# Runs a tool of .venv; notes its failure and goes on.
check() { # TOOL FLAGS…
    local code=0
    say "$*"
    .venv/bin/python -m "$@" || code=$?
    if [ "$code" != 0 ]; then
        failed="$failed, $1 ($code)"
        first=${first:-$code}
    fi
}

device=${CONVOY_DEVICE:-$(choose_device)}
case $device in
    cpu | cuda12 | cuda13 | tpu) ;;
    *) die 2 "CONVOY_DEVICE=$device is not known: use cpu, cuda12, cuda13 or tpu" ;;
esac

if [ "${1-}" = test ]; then
    shift
    install tools
    failed='' first=''
    check ruff check .
    check ruff format --check .
    check mypy
    check pytest -n auto --dist loadfile "$@" # a process for each core; -n 0 for one
    [ -z "$failed" ] || die "$first" "failed: ${failed#, }"
    exit 0
fi

install ''
# First, since --config.… may follow it; but not when the user names a config or asks for help.
given=
for flag; do
    case $flag in -config | --config | -config=* | --config=* | -h | -help | --help) given=1 ;; esac
done
[ -n "$given" ] || set -- --config=$config "$@"
exec .venv/bin/python -m bench.main "$@"
