# shellcheck shell=bash
# What the scripts of this folder share. Works with bash 3.2, which is what macOS has.

# shellcheck disable=SC2034
readonly EXIT_MISTAKE=2
# Stopped after saving (EX_TEMPFAIL of sysexits.h): the same command goes on.
# shellcheck disable=SC2034
readonly EXIT_STOPPED=75
opt_dry_run=no
rest=()

fail() {
    echo "error: $*" >&2
    exit "$EXIT_MISTAKE"
}

note() {
    echo "$*" >&2
}

# The comment at the top of a script is its --help.
usage() {
    awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
}

# Arguments as they would have to be typed.
quoted() {
    local word out=""
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=,@%+~-]+$ ]]; then
            out+="$word "
        else
            out+="$(printf '%q' "$word") "
        fi
    done
    printf '%s' "${out% }"
}

# Runs a command, or with --dry-run prints it.
run() {
    if [[ $opt_dry_run == yes ]]; then
        printf '%s\n' "$(quoted "$@")"
    else
        "$@"
    fi
}

# parse "NAMES" ARGUMENTS: --name=value becomes opt_name, --flag makes opt_flag yes, and what
# follows -- is left in the array `rest`. --env and --extra may come several times, which joins
# their values with commas, and with a space in place of =.
parse() {
    local known=" $1 dry_run " switches=" " argument name default
    for name in $known; do
        default="opt_$name"
        if [[ ${!default-} == no ]]; then switches+="$name "; fi
    done
    shift
    while (($#)); do
        argument=$1
        shift
        case $argument in
        --)
            rest=("$@")
            return
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        --*)
            name=${argument#--}
            name=${name%%=*}
            name=${name//-/_}
            if [[ ! $name =~ ^[a-z_]+$ || $known != *" $name "* ]]; then
                fail "unknown option $argument (see --help); options of training follow after --"
            fi
            if [[ $switches == *" $name "* ]]; then
                [[ $argument != *=* ]] || fail "--${name//_/-} takes no value"
                printf -v "opt_$name" yes
            else
                if [[ $argument != *=* && $name =~ ^(env|extra)$ && ${1-} == [A-Za-z_]* ]]; then
                    argument+="=$1"
                    shift
                fi
                [[ $argument == *=* ]] || fail "--${name//_/-} needs a value"
                argument=${argument#*=}
                default="opt_$name"
                [[ ! $name =~ ^(env|extra)$ ]] || argument="${!default:+${!default},}$argument"
                printf -v "opt_$name" '%s' "$argument"
            fi
            ;;
        *) fail "unexpected argument $argument; options of training follow after --" ;;
        esac
    done
}

# number NAME: the option is a number of 0 or more.
number() {
    local name="opt_$1"
    [[ ${!name} =~ ^[0-9]+$ ]] || fail "--${1//_/-} must be a number, not ${!name}"
}

# required NAME WHAT: the option was given.
required() {
    local name="opt_$1"
    [[ -n ${!name} ]] || fail "no ${1//_/-} given; set --${1//_/-}=$2"
}

# extras WORDS: names of extras with commas between them.
extras() {
    [[ $1 =~ ^[a-z0-9_]+(,[a-z0-9_]+)*$ ]] || fail "--extra has names of extras, not $1"
}

# secrets NAMES: variables of this environment, by name. A value is never printed, nor an argument
# of a program, which everybody on the machine could read.
secrets() {
    local name
    for name in ${1//,/ }; do
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] ||
            fail "--env takes names of variables; their values are read from the environment"
        if [[ -z ${!name-} ]] || ! printenv "$name" >/dev/null; then
            fail "--env=$name: it is not set in the environment, or not exported"
        fi
    done
}
