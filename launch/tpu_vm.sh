#!/usr/bin/env bash
# Trains on a Cloud TPU VM, one host or a whole slice: makes the TPU or takes the one that is there,
# copies this repository, installs, starts on all workers, shows the log, and makes the TPU anew and
# goes on when it is taken away. Called again, it joins the run that is going on.
#
#   launch/tpu_vm.sh up --name=rm --zone=us-east5-a --type=v6e-16 --bucket=my-bucket -- \
#       --config=configs/rm.py:qwen2.5-7b --config.data.train=org/name:train \
#       --workdir=bucket/runs/rm
#   launch/tpu_vm.sh logs --name=rm --zone=us-east5-a       the log of worker 0
#   launch/tpu_vm.sh stop --name=rm --zone=us-east5-a       save, and end the run
#   launch/tpu_vm.sh delete --name=rm --zone=us-east5-a     give the TPU back
#
#   --name=NAME        of the TPU
#   --zone=ZONE        of the TPU
#   --type=TYPE        such as v5litepod-8, v6e-16; needed to make one
#   --version=VERSION  software; default: v2-alpha-tpuv5-lite or v2-alpha-tpuv6e by the type, else
#                      tpu-ubuntu2204-base
#   --project=NAME     default: gcloud's own
#   --spot             may be taken away at any time, for less money
#   --bucket=NAME      Cloud Storage bucket, mounted as `bucket` in the repository on every worker.
#                      A run on several workers needs it, and one that should outlive its TPU
#   --queued           ask for the TPU as a queued resource, which Google makes when there is room.
#                      `delete` needs it too
#   --env=NAMES        variables of this environment that the run gets, such as HF_TOKEN
#   --extra=NAMES      extras to install beside tpu, such as gs
#   --max-restarts=N   how often to go on after a crash or a loss, and to try again to make a TPU that
#                      there is no room for; default: 100
#   --poll=SECONDS     between two looks at a TPU that is being made; default: 15
#   --dry-run          print what would be run, as if the TPU were not there, and run nothing
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/lib.sh
source "$here/lib.sh"
root="$(dirname "$here")"

action=up
case ${1:-} in
up | logs | stop | delete)
    action=$1
    shift
    ;;
esac
opt_name="" opt_zone="" opt_type="" opt_version="" opt_project="" opt_spot=no opt_bucket=""
opt_max_restarts=100 opt_poll=15 opt_queued=no opt_env="" opt_extra=""
parse "name zone type version project spot bucket max_restarts poll queued env extra" "$@"
required name NAME
required zone ZONE
number max_restarts
[[ $opt_name =~ ^[a-z][a-z0-9-]*$ ]] || fail "--name has small letters, digits and -, not $opt_name"
[[ $opt_poll =~ ^[0-9.]+$ ]] || fail "--poll must be a number, not $opt_poll"
secrets "$opt_env"
extra="tpu${opt_extra:+,$opt_extra}"
extras "$extra"
# A host has at most 8 chips, or 8 cores by which older kinds count.
if [[ $action == up && $opt_type =~ -([0-9]+)$ ]] && ((BASH_REMATCH[1] > 8)); then
    folder=""
    for argument in ${rest[@]+"${rest[@]}"}; do
        [[ $argument != --workdir=* ]] || folder=${argument#*=}
    done
    [[ $folder == /* || (-n $opt_bucket && $folder == bucket/*) ]] ||
        fail "$opt_type has several hosts, which need one folder for the run: set --bucket=NAME, and \
--workdir=bucket/runs/$opt_name after --"
fi
case $opt_type in
v5lite* | v5p*) version=v2-alpha-tpuv5-lite ;;
v6e*) version=v2-alpha-tpuv6e ;;
*) version=tpu-ubuntu2204-base ;;
esac
[[ $opt_type != v5p* ]] || version=v2-alpha-tpuv5
version=${opt_version:-$version}
where=("--zone=$opt_zone")
[[ -z $opt_project ]] || where+=("--project=$opt_project")
# Of the worker's home; one run at a time on a TPU.
readonly DIRECTORY=mapl_jax LOG=mapl_jax.log PRIVATE=mapl_jax.private

tpu() {
    local verb=$1
    shift
    run gcloud compute tpus tpu-vm "$verb" "$@" "${where[@]}"
}

queue() {
    local verb=$1
    shift
    run gcloud compute tpus queued-resources "$verb" "$opt_name" "$@" "${where[@]}"
}

on() {
    local workers=$1
    shift
    tpu ssh "$opt_name" "--worker=$workers" "--command=$(quoted "$@")"
}

box() {
    local workers=$1
    shift
    on "$workers" bash "$DIRECTORY/launch/box.sh" "--log=$LOG" "$@"
}

# look COMMAND...: what it prints, or ABSENT.
look() {
    local answer
    if answer="$("$@" 2>&1)"; then
        printf '%s' "$answer"
    elif [[ $answer == *NOT_FOUND* || $answer == *"not found"* ]]; then
        printf ABSENT
    else
        note "$answer"
        return 1
    fi
}

state() {
    local queued node
    if [[ $opt_queued == yes ]]; then
        queued="$(look queue describe '--format=value(state.state)')" || return 1
        if [[ $queued != ACTIVE ]]; then
            printf '%s' "$queued"
            return
        fi
    fi
    node="$(look tpu describe "$opt_name" '--format=value(state)')" || return 1
    # The request is granted, and the TPU on its way.
    [[ $opt_queued == no || $node != ABSENT ]] || node=CREATING
    printf '%s' "$node"
}

remove() {
    if [[ $opt_queued == yes ]]; then
        queue delete --force --quiet
    else
        tpu delete "$opt_name" --quiet
    fi
}

create() {
    [[ -n $opt_type ]] || fail "the TPU $opt_name is not there; set --type=TYPE to make it"
    local more=()
    [[ $opt_spot == no ]] || more+=(--spot)
    if [[ $opt_queued == yes ]]; then
        note "asking for the TPU $opt_name ($opt_type)"
        queue create "--node-id=$opt_name" "--accelerator-type=$opt_type" \
            "--runtime-version=$version" ${more[@]+"${more[@]}"}
        return
    fi
    note "making the TPU $opt_name ($opt_type)"
    tpu create "$opt_name" "--accelerator-type=$opt_type" "--version=$version" \
        ${more[@]+"${more[@]}"}
}

seen=no
# Waits until the TPU is ready, and makes it if it is not there.
ensure() {
    if [[ $opt_dry_run == yes ]]; then
        if [[ $opt_queued == yes ]]; then queue describe '--format=value(state.state)'; fi
        tpu describe "$opt_name" '--format=value(state)'
        create
        return
    fi
    local now before="" failures=0
    while true; do
        if ! now="$(state)"; then
            # At the start it is a mistake; hours later it is the network.
            [[ $seen == yes ]] || fail "the TPU $opt_name cannot be looked up"
            now=UNKNOWN
        fi
        seen=yes
        case $now in
        READY) return ;;
        ABSENT)
            if ! create; then
                failures=$((failures + 1))
                ((failures <= opt_max_restarts)) || fail "gave up making the TPU"
                sleep "$opt_poll"
            fi
            ;;
        STOPPED) tpu start "$opt_name" ;;
        PREEMPTED | TERMINATED | SUSPENDED)
            note "the TPU was taken away"
            remove
            ;;
        FAILED)
            failures=$((failures + 1))
            ((failures <= opt_max_restarts)) || fail "gave up making the TPU"
            note "the request failed"
            remove
            ;;
        *)
            [[ $now == "$before" ]] || note "the TPU is $now"
            before=$now
            sleep "$opt_poll"
            ;;
        esac
    done
}

# What git knows, and what it does not ignore: configs of your own come along.
pack() {
    local file
    cd "$root"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            if [[ -f $file ]]; then printf '%s\0' "$file"; fi
        done | tar --create --gzip --file="$1" --null --files-from=-
}

# Copies the variables of --env to all workers, into a folder that nobody else may enter.
copy_secrets() {
    local file name
    on all mkdir -p -m 700 "$PRIVATE"
    file="$(mktemp "${TMPDIR:-/tmp}/mapl_jax.XXXXXX")"
    if [[ $opt_dry_run == no ]]; then
        for name in ${opt_env//,/ }; do printf '%s=%q\n' "$name" "${!name}"; done >"$file"
    fi
    tpu scp "$file" "$opt_name:$PRIVATE/env" --worker=all || { rm -f "$file" && return 1; }
    rm -f "$file"
}

start() {
    local archive private=()
    archive="$(mktemp "${TMPDIR:-/tmp}/mapl_jax.XXXXXX")"
    [[ $opt_dry_run == yes ]] || pack "$archive"
    tpu scp "$archive" "$opt_name:mapl_jax.tar.gz" --worker=all
    rm -f "$archive"
    on all mkdir -p "$DIRECTORY"
    on all tar --extract --gzip --file=mapl_jax.tar.gz "--directory=$DIRECTORY"
    if [[ -n $opt_bucket ]]; then
        on all bash "$DIRECTORY/launch/mount_bucket.sh" "--bucket=$opt_bucket" \
            "--folder=$DIRECTORY/bucket"
    fi
    # First everything is installed everywhere, then all start together.
    on all bash "$DIRECTORY/launch/box.sh" --apt "--extra=$extra" --setup-only
    if [[ -n $opt_env ]]; then
        copy_secrets || return 1
        private=("--env-file=$PRIVATE/env")
    fi
    box all "--extra=$extra" ${private[@]+"${private[@]}"} --max-restarts=0 --detach -- ${rest[@]+"${rest[@]}"} --distributed
}

up() {
    local restarts=0 status
    if [[ $opt_dry_run == yes ]]; then
        ensure
        start
        box 0 --follow
        on 0 cat "$LOG.status"
        return
    fi
    while true; do
        ensure
        if box 0 --running 2>/dev/null; then
            note "the run is going on"
        else
            start || note "the start failed"
        fi
        box 0 --follow || true
        status="$(on 0 cat "$LOG.status" 2>/dev/null || true)"
        case $status in
        0)
            queued=()
            [[ $opt_queued == no ]] || queued=(--queued)
            note "done; give the TPU back with: launch/tpu_vm.sh delete $(quoted "--name=$opt_name" "${where[@]}" ${queued[@]+"${queued[@]}"})"
            return
            ;;
        "$EXIT_MISTAKE") exit "$EXIT_MISTAKE" ;;
        esac
        ((restarts < opt_max_restarts)) || fail "gave up after $restarts restarts"
        restarts=$((restarts + 1))
        note "the run ended (${status:-no answer}); restart $restarts of $opt_max_restarts"
        # Workers that still wait for one that is gone.
        box all --stop 2>/dev/null || true
        sleep "$opt_poll"
    done
}

case $action in
up) up ;;
logs) box 0 --follow ;;
stop) box all --stop ;;
delete)
    if [[ $opt_dry_run == no && "$(state)" == ABSENT ]]; then exit 0; fi
    remove
    ;;
esac
