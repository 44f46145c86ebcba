. "$(dirname "$0")/lib.sh"
made() { # OPTION…
    serve master web web:1 --replicas 2 --publish 30080:80 --env EDITION=first --limit-memory 256m \
        --constraint node.platform.os==linux --stop-grace-period 7s "$@"
    patience 90 running master web 2 web:1
}
change() { # IMAGE OPTION…
    local image=$1; shift
    engine master service update --detach --no-resolve-image --replicas 3 --image "registry:5000/$image" \
        --env-add EDITION=second --limit-memory 512m --stop-grace-period 9s --publish-rm 80 --publish-add 30081:80 \
        --constraint-rm node.platform.os==linux "$@" web >/dev/null
}
for _ in command API; do
    made
    change web:2
    patience 120 running master web 3 web:2
    engine master service rollback --detach web >/dev/null
    patience 120 running master web 2 web:1
    engine master service rollback --detach web >/dev/null
    patience 120 running master web 3 web:2
    gone web
done
policy="--update-failure-action rollback --update-monitor 120s --update-delay 120s --rollback-parallelism 1"
rolled_back() { api master GET /services/web | grep -q '"State":"rollback_'; }
for fails in "web:broken" "web:2 --health-cmd false --health-interval 1s --health-retries 1"; do
    # shellcheck disable=SC2086 - they are words
    made $policy
    # shellcheck disable=SC2086
    change $fails
    patience 150 rolled_back
    patience 120 running master web 2 web:1
    gone web
done
