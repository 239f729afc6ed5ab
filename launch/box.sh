#!/usr/bin/env bash
# Trains on this machine, with all its devices: makes an environment, installs, trains, and starts
# again after a crash. A run goes on from its last checkpoint.
#
#   launch/box.sh [OPTIONS] -- --config=configs/rm.py:qwen2.5-0.5b --config.data.train=train.jsonl
#
#   --venv=DIR         environment to make or reuse; default: .venv in the repository
#   --extra=NAMES      what to install beside the package: none, or extras such as cuda,gs; default:
#                      cuda where nvidia-smi is found, else none
#   --env-file=FILE    file of lines NAME=value, quoted as for bash, that is read into the environment
#                      of the run and removed
#   --apt              install Python with apt-get where there is none of 3.11 or later
#   --no-install       take the environment, or without --venv the python in PATH, as it is
#   --setup-only       install, and train nothing
#   --command=NAME     train (default), synthesize, evaluate, generate, bench, ...
#   --max-restarts=N   how often to start again after a crash; default: 3
#   --detach           go on without this terminal; needs --log. Started twice, it runs once
#   --log=FILE         where a detached run writes; FILE.status holds its exit status at the end
#   --follow           show the log of a detached run until it ends, and end with its status
#   --running          say by the exit status whether the detached run is there
#   --stop             ask the detached run to save and to end
#   --dry-run          print what would be run, and run nothing
#
# SIGTERM, and Ctrl-C, make it save and end with status 75: the same command goes on. Status 2 is a
# mistake in the arguments or the data, after which nothing is tried again.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/lib.sh
source "$here/lib.sh"
root="$(dirname "$here")"

opt_venv="" opt_extra="" opt_env_file="" opt_apt=no opt_no_install=no opt_setup_only=no opt_command=train
opt_max_restarts=3 opt_detach=no opt_log="" opt_follow=no opt_running=no opt_stop=no
arguments=("$@")
parse "venv extra env_file apt no_install setup_only command max_restarts detach log follow running stop" "$@"
number max_restarts
[[ $opt_command =~ ^[a-z]+$ ]] || fail "--command must be one word, not $opt_command"
for flag in detach follow running stop; do
    name="opt_$flag"
    [[ ${!name} == no || -n $opt_log ]] || fail "--$flag needs --log=FILE"
done

# The detached run: FILE.pid while it is there, FILE.status once it has ended.

is_running() {
    local pid
    pid="$(cat "$opt_log.pid" 2>/dev/null)" && [[ $pid =~ ^[0-9]+$ ]] && kill -0 "$pid" 2>/dev/null
}

detach() {
    if [[ $opt_dry_run == no ]] && is_running; then
        note "it is running already: $opt_log"
        return
    fi
    local again=() argument
    for argument in "${arguments[@]}"; do
        [[ $argument == -- ]] && break
        [[ $argument == --detach || $argument == --log=* ]] || again+=("$argument")
    done
    local command=(bash "$here/box.sh" ${again[@]+"${again[@]}"} -- ${rest[@]+"${rest[@]}"})
    if [[ $opt_dry_run == yes ]]; then
        printf '%s\n' "$(quoted "${command[@]}") >>$(quoted "$opt_log") 2>&1 &"
        return
    fi
    mkdir -p "$(dirname "$opt_log")"
    rm -f "$opt_log.status" "$opt_log.pid"
    local starter=(nohup)
    command -v setsid >/dev/null && starter=(setsid nohup)
    # A shell of its own keeps the status of the run.
    # shellcheck disable=SC2016
    local keeper='"$@" & echo $! >"$0.pid"; wait $!; echo $? >"$0.part"; mv "$0.part" "$0.status"'
    # shellcheck disable=SC2094
    "${starter[@]}" bash -c "$keeper" "$opt_log" "${command[@]}" >>"$opt_log" 2>&1 </dev/null &
    while [[ ! -s $opt_log.pid ]]; do sleep 0.05; done
    note "started; log: $opt_log"
}

follow() {
    [[ -e $opt_log ]] || fail "there is no log $opt_log"
    tail -n 50 -F "$opt_log" 2>/dev/null &
    local tail=$!
    while [[ ! -s $opt_log.status ]] && is_running; do sleep 0.5; done
    sleep 0.2
    kill "$tail"
    [[ -s $opt_log.status ]] || exit 1
    exit "$(cat "$opt_log.status")"
}

stop() {
    is_running || return 0
    run kill -TERM "$(cat "$opt_log.pid")"
}

# Environment.

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return
        fi
    done
    return 1
}

install() {
    local base extra=$opt_extra
    if [[ -z $extra ]]; then
        extra=none
        if command -v nvidia-smi >/dev/null; then extra=cuda; fi
    fi
    extras "$extra"
    local what=$root
    [[ $extra == none ]] || what="${root}[$extra]"
    # The package is installed as it lies here, so only a change of what it needs counts.
    local stamp="$venv/.installed" wanted
    wanted="$extra $(cat "$root/setup.cfg" "$root/pyproject.toml" | cksum)"
    if [[ $opt_dry_run == no && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]]; then return; fi
    if [[ ! -x $venv/bin/python ]]; then
        if ! base="$(find_python)"; then
            [[ $opt_apt == yes ]] || fail "Python 3.11 or later is needed; name one with PYTHON=..."
            run sudo apt-get update
            run sudo apt-get install -y python3.11 python3.11-venv
            base=python3.11
        fi
        run "$base" -m venv "$venv"
    fi
    run "$venv/bin/python" -m pip install --quiet --upgrade pip
    run "$venv/bin/python" -m pip install --quiet --editable "$what"
    [[ $opt_dry_run == yes ]] || printf '%s\n' "$wanted" >"$stamp"
}

# Tasks of one job may share the folder of the environment.
install_alone() {
    if [[ $opt_dry_run == yes ]] || ! command -v flock >/dev/null; then
        install
        return
    fi
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    flock 9
    install
    exec 9>&-
}

# Training.

child="" stopped=no
end_child() {
    stopped=yes
    if [[ -n $child ]]; then kill -TERM "$child" 2>/dev/null || true; fi
}

train() {
    local command=("$python" -m "mapl_jax.$opt_command" ${rest[@]+"${rest[@]}"}) status restarts=0
    cd "$root"
    if [[ $opt_dry_run == yes ]]; then
        run cd "$root"
        run "${command[@]}"
        return
    fi
    trap end_child TERM INT
    if [[ -n $opt_env_file ]]; then
        set -a
        # shellcheck disable=SC1090
        source "$env_file"
        set +a
        rm -f "$env_file"
    fi
    while true; do
        "${command[@]}" &
        child=$!
        # A signal ends `wait` before the process.
        while true; do
            status=0
            wait "$child" || status=$?
            kill -0 "$child" 2>/dev/null || break
        done
        child=""
        if [[ $stopped == yes ]]; then exit "$EXIT_STOPPED"; fi
        if [[ $status == 0 || $status == "$EXIT_MISTAKE" || $status == "$EXIT_STOPPED" ]]; then
            exit "$status"
        fi
        if ((restarts == opt_max_restarts)); then
            note "ended with status $status after $restarts restarts"
            exit "$status"
        fi
        restarts=$((restarts + 1))
        note "ended with status $status; restart $restarts of $opt_max_restarts"
        sleep "${MAPL_RESTART_SECONDS:-5}" &
        child=$!
        wait "$child" || true
        if [[ $stopped == yes ]]; then exit "$EXIT_STOPPED"; fi
    done
}

if [[ $opt_running == yes ]]; then
    is_running
    exit
elif [[ $opt_stop == yes ]]; then
    stop
    exit
elif [[ $opt_follow == yes ]]; then
    follow
elif [[ $opt_detach == yes ]]; then
    detach
    exit
fi
venv=${opt_venv:-$root/.venv}
[[ $venv == /* ]] || venv="$PWD/$venv"
env_file=$opt_env_file
[[ $env_file == /* ]] || env_file="$PWD/$env_file"
if [[ $opt_no_install == yes ]]; then
    python=python
    if [[ -n $opt_venv ]]; then python="$venv/bin/python"; fi
else
    install_alone
    python="$venv/bin/python"
fi
if [[ $opt_setup_only == no ]]; then train; fi
