# What stands before each block of the documents when it is run: the same commands, with debug
# builds, a broker on a free port, and nothing that outlives its file.
set -euo pipefail

cargo() {
    local command=$1
    shift
    case $command in
    # Parsed as it would be, and not run: it would run this.
    xtask) XTASK_PARSES_ONLY=1 "$XTASK" "$@" ;;
    install) (cd "$REPOSITORY" && "$CARGO" install --debug --root "$SCRATCH" --target-dir "$TARGET" "$@") ;;
    *)
        local kept=() word
        for word in "$@"; do [[ $word == --release ]] || kept+=("$word"); done
        "$CARGO" "$command" --manifest-path "$REPOSITORY/Cargo.toml" "${kept[@]}"
        ;;
    esac
}

plimsoll() {
    case $1 in
    serve) serve "$@" ;;
    # A terminal of its own is more than a test has.
    top) command plimsoll "$@" --json ;;
    *) command plimsoll "$@" ;;
    esac
}

# Starts a broker, and waits until it answers.
serve() {
    [[ -e $SCRATCH/broker.pid ]] && stop
    setsid "$(command -v plimsoll)" "$@" --state "$SCRATCH/state" >"$SCRATCH/broker.log" 2>&1 &
    echo $! >"$SCRATCH/broker.pid"
    local tries
    for tries in $(seq 100); do
        command plimsoll ps >/dev/null 2>&1 && return
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    cat "$SCRATCH/broker.log"
    echo "the broker does not answer after $tries tries"
    return 1
}

# Ends the broker as an operator would, and holds it to a clean end.
stop() {
    [[ -e $SCRATCH/broker.pid ]] || return 0
    local pid
    pid=$(<"$SCRATCH/broker.pid")
    rm "$SCRATCH/broker.pid"
    kill "$pid"
    local tries
    for tries in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$pid"
    echo "the broker did not stop after $tries tries"
    return 1
}
