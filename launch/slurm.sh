#!/usr/bin/env bash
# Submits a run to Slurm: one process a node, which uses all devices of the node. The processes find
# each other through Slurm. Called again while the job is there, it submits nothing.
#
#   launch/slurm.sh --nodes=2 --time=24:00:00 --gpus-per-node=8 -- \
#       --config=configs/rm.py:qwen2.5-7b --config.data.train=train.jsonl --workdir=/shared/rm
#
#   --name=NAME             of the job; default: mapl_jax
#   --nodes=N               default: 1
#   --ntasks-per-node=N     processes on a node; default: 1
#   --gpus-per-node=N       default: as the partition has it
#   --cpus-per-task=N       default: as the partition has it
#   --time=HH:MM:SS         default: as the partition has it
#   --partition=NAME --account=NAME --qos=NAME
#   --grace=SECONDS         before the time limit the run is asked to save; default: 300
#   --max-restarts=N        how often the job is queued again, after a crash, a preemption or at the
#                           time limit; default: 100
#   --venv=DIR              environment to make or reuse, on a file system that all nodes share;
#                           default: .venv in the repository
#   --extra=NAMES           as in launch/box.sh
#   --env=NAMES             variables of this environment that the job gets, such as HF_TOKEN, also
#                           where sbatch is set to export none
#   --no-install            take the environment as it is
#   --logs=DIR              default: slurm-logs in the repository
#   --dry-run               print what would be run, and run nothing
#
# --workdir must lie on a file system that all nodes share. Its log is LOGS/NAME-JOB.log.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=launch/lib.sh
source "$here/lib.sh"
root="$(dirname "$here")"

# shellcheck disable=SC2034
opt_name=mapl_jax opt_nodes=1 opt_ntasks_per_node=1 opt_gpus_per_node="" opt_cpus_per_task=""
# shellcheck disable=SC2034
opt_time="" opt_partition="" opt_account="" opt_qos="" opt_grace=300 opt_max_restarts=100
opt_venv="" opt_extra="" opt_env="" opt_no_install=no opt_logs="$root/slurm-logs"
parse "name nodes ntasks_per_node gpus_per_node cpus_per_task time partition account qos grace \
max_restarts venv extra env no_install logs" "$@"
for name in nodes ntasks_per_node grace max_restarts; do number "$name"; done
[[ $opt_name =~ ^[A-Za-z0-9._-]+$ ]] || fail "--name has letters, digits, ., _ and -, not $opt_name"
[[ -z $opt_extra ]] || extras "$opt_extra"
secrets "$opt_env"
((${#rest[@]})) || fail "no options of training given; they follow after --"

if [[ $opt_dry_run == no ]]; then
    job="$(squeue --me --noheader "--name=$opt_name" --format=%i | head -n 1)"
    if [[ -n $job ]]; then
        note "job $job is there already; its log: $opt_logs/$opt_name-$job.log"
        exit 0
    fi
fi

options=(
    "--job-name=$opt_name" "--nodes=$opt_nodes" "--ntasks-per-node=$opt_ntasks_per_node"
    "--signal=B:TERM@$opt_grace" --requeue --open-mode=append "--chdir=$root"
    "--output=$opt_logs/%x-%j.log"
)
for name in gpus_per_node cpus_per_task time partition account qos; do
    value="opt_$name"
    [[ -z ${!value} ]] || options+=("--${name//_/-}=${!value}")
done
[[ -z $opt_env ]] || options+=("--export=ALL,$opt_env")
box=()
[[ -z $opt_venv ]] || box+=("--venv=$opt_venv")
[[ -z $opt_extra ]] || box+=("--extra=$opt_extra")
[[ $opt_no_install == no ]] || box+=(--no-install)

run mkdir -p "$opt_logs"
run sbatch --parsable "${options[@]}" "$here/slurm.sbatch" "$root" "$opt_max_restarts" \
    ${box[@]+"${box[@]}"} -- "${rest[@]}"
[[ $opt_dry_run == yes ]] || note "log: tail -F $(quoted "$opt_logs/$opt_name")-JOB.log"
