. "$(dirname "$0")/lib.sh"
for order in stop-first start-first; do
    for shape in "3 1" "4 2"; do
        read -r replicas parallelism <<<"$shape"
        serve master web web:1 --replicas "$replicas" --health-interval 1s \
            --health-cmd "curl -fsS http://localhost/healthz"
        patience 90 running master web "$replicas"
        engine master service update --detach --no-resolve-image --update-parallelism "$parallelism" --update-delay 6s \
            --update-order "$order" --image registry:5000/web:2 web >/dev/null
        patience 180 running master web "$replicas" web:2
        for name in master slave01 slave02; do api "$name" GET /containers/json >/dev/null; done
        gone web
    done
done
