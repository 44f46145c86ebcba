# What the bare scripts share: nodes, swarms, services and waits, with docker, curl and nothing else.
# The benchmark sets DIR (a folder of this part), NETWORK, REGISTRY (its address), IMAGE, ROOT (the volume of a node's
# data root), OPTIONS (of docker run, a line each) and CREATE (options of docker that label what is made).
set -euo pipefail
mapfile -t OPTIONS <<<"$OPTIONS"
mapfile -t CREATE <<<"$CREATE"

# Nodes

node() { # NAME: start a container as the lab does
    mkdir -p "$DIR/$1"
    for part in docker containerd; do
        docker volume create "${CREATE[@]}" "$NETWORK-$1-$part" >/dev/null
    done
    docker run -d --name "$NETWORK-$1" --hostname "$1" --network "$NETWORK" --ip "$(address "$1")" --cidfile "$DIR/$1.cid" \
        --add-host "registry:$REGISTRY" --volume "$DIR/$1:/swarmlab" \
        --volume "$NETWORK-$1-docker:/var/lib/docker" --volume "$NETWORK-$1-containerd:/var/lib/containerd" --volume "$ROOT" \
        "${CREATE[@]}" "${OPTIONS[@]}" "$IMAGE" >/dev/null
}
up() { # NAME…: start nodes at the same time, and wait until their engines answer
    for name; do node "$name" & done
    wait
    for name; do patience 60 answers "$name"; done
}
down() { # NAME…
    docker rm --force --volumes "${@/#/$NETWORK-}" >/dev/null
    for name; do docker volume rm --force "$NETWORK-$name-docker" "$NETWORK-$name-containerd" >/dev/null; done
}
lose() { docker kill "${@/#/$NETWORK-}" >/dev/null; }
inside() { local name=$1; shift; docker exec "$NETWORK-$name" "$@"; }
address() { # NAME: the same whenever it starts; a letter and a digit, or a name of the document's
    local letters=abcdefghij first=${1:0:1}
    case $1 in
        master) set -- 101 ;;
        slave01) set -- 104 ;;
        slave02) set -- 103 ;;
        *) first=${letters%%"$first"*}; set -- $(((${#first} + 1) * 10 + ${1:1})) ;;
    esac
    echo "${REGISTRY%.*}.$1"
}

# Engines

engine() { local name=$1; shift; docker --host "unix://$DIR/$name/docker.sock" "$@"; }
api() { # NAME METHOD PATH [BODY]: the answer; fails if it is an error
    curl --silent --fail --globoff --max-time 25 --unix-socket "$DIR/$1/docker.sock" --request "$2" \
        ${4:+--header Content-Type:application/json --data "$4"} "http://engine/v1.40$3"
}
answers() { api "$1" GET /_ping >/dev/null; }
patience() { # SECONDS COMMAND…: poll until it succeeds
    local end=$((SECONDS + $1)); shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "not within its time: $*" >&2; return 1; }
        sleep 0.2
    done
}

# Swarms

form() { # MANAGERS NAME…: init on the first, the others join
    local managers=$1 first=$2 at place=1; shift 2
    at=$(address "$first")
    engine "$first" swarm init --advertise-addr "$at" >/dev/null
    local manager worker
    manager=$(engine "$first" swarm join-token -q manager) worker=$(engine "$first" swarm join-token -q worker)
    for name; do
        [ "$place" -lt "$managers" ] && token=$manager || token=$worker
        engine "$name" swarm join --advertise-addr "$(address "$name")" --token "$token" "$at:2377" >/dev/null
        place=$((place + 1))
    done
    patience 60 ready "$first" $((place))
}
ready() { [ "$(api "$1" GET /nodes | grep -o '"State":"ready"' | wc -l)" -ge "$2" ]; }
leader() { engine "$1" node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == "Leader" { print $1 }'; }
led() { # NAME…: whether each names one leader
    for name; do [ "$(api "$name" GET /nodes | grep -o '"Leader":true' | wc -l)" = 1 ] || return 1; done
}
refuse() { # NAME…: whether each refuses to list the nodes
    for name; do ! api "$name" GET /nodes >/dev/null || return 1; done
}
number=0
write() { # NAME: create a config
    number=$((number + 1))
    api "$1" POST /configs/create "{\"Name\":\"bare-$1-$BASHPID-$number\",\"Data\":\"YmFyZQ==\"}" >/dev/null
}
writing() { # NAME…: write through each again and again, in the background; stop it with: kill $WRITER
    (
        trap 'exit 0' TERM
        while :; do
            calls=()
            for name; do
                number=$((number + 1))
                calls+=(--next --silent --max-time 25 --unix-socket "$DIR/$name/docker.sock" --output /dev/null
                    --header Content-Type:application/json
                    --data "{\"Name\":\"write-$name-$number\",\"Data\":\"YmFyZQ==\"}" http://engine/v1.40/configs/create)
            done
            curl --parallel "${calls[@]:1}" 2>/dev/null || :
            sleep 0.3
        done
    ) &
    WRITER=$!
}
stop_writing() { kill "$WRITER" 2>/dev/null || :; wait "$WRITER" 2>/dev/null || :; }

# Services

serve() { # NAME SERVICE IMAGE OPTION…: create a service
    local name=$1 service=$2 image=$3; shift 3
    engine "$name" service create --detach --no-resolve-image --name "$service" "$@" "registry:5000/$image" >/dev/null
}
running() { # NAME SERVICE COUNT [IMAGE]: whether so many tasks run
    local filters="{\"service\":[\"$2\"],\"desired-state\":[\"running\"]}" found
    found=$(curl --silent --fail --get --max-time 25 --unix-socket "$DIR/$1/docker.sock" \
        --data-urlencode "filters=$filters" http://engine/v1.40/tasks) || return 1
    [ "$(grep -o '"State":"running"' <<<"$found" | wc -l)" = "$3" ] || return 1
    [ -z "${4:-}" ] || [ "$(grep -o "\"Image\":\"registry:5000/$4[@\"]" <<<"$found" | wc -l)" = "$3" ]
}
gone() { # SERVICE: remove a service, and wait until its containers are gone
    engine master service rm "$1" >/dev/null
    for name in master slave01 slave02; do patience 60 empty "$name"; done
}
empty() { [ "$(api "$1" GET /containers/json)" = "[]" ]; }
at_once() { # COMMAND…: run a story in the background; `all_of_them` waits for the stories and fails if one did
    "$@" & STORIES+=($!)
}
STORIES=()
all_of_them() { for story in "${STORIES[@]}"; do wait "$story"; done; }

# Losses of managers

works() { # LOST -- LEFT…: the rest reads, writes and runs a service
    local away=() left=() lost=1
    for name; do
        if [ "$name" = -- ]; then lost=; elif [ "$lost" ]; then away+=(--constraint "node.hostname!=$name"); else left+=("$name"); fi
    done
    patience 90 led "${left[@]}"
    for name in "${left[@]}"; do patience 60 write "$name"; done
    work=work-$RANDOM
    patience 60 serve "${left[-1]}" "$work" idle --mode global "${away[@]}"
    patience 90 running "${left[-1]}" "$work" "${#left[@]}"
    for name in "${left[@]}"; do api "$name" GET /configs >/dev/null; done
}
refused() { # LEFT…: the rest refuses, three times in a row, and takes no write
    for _ in 1 2 3; do patience 120 refuse "$@"; done
    for name; do ! write "$name" || { echo "$name took a write" >&2; return 1; }; done
}
choose() { # ROLES LEFT…: names of managers, "leader" or "follower"; the first named leader
    local roles=$1 head others=(); shift
    head=$(leader "$1")
    for name; do [ "$name" = "$head" ] || others+=("$name"); done
    for role in $roles; do
        if [ "$role" = leader ]; then echo "$head"; else echo "${others[-1]}"; unset 'others[-1]'; fi
    done
}
story() { # PREFIX MANAGERS BEYOND ROUND…: managers are lost round by round; BEYOND takes quorum (empty: nothing does)
    local prefix=$1 managers=$2 beyond=$3 all=() left=() lost=() victims=(); shift 3
    for place in $(seq "$managers"); do all+=("$prefix$place"); done
    up "${all[@]}"
    form "$managers" "${all[@]}"
    left=("${all[@]}")
    writing "${all[@]}"
    for round in "$@" ${beyond:+beyond}; do
        mapfile -t victims < <(choose "${round/#beyond/$beyond}" "${left[@]}")
        lose "${victims[@]}"
        lost+=("${victims[@]}")
        mapfile -t left < <(printf '%s\n' "${all[@]}" | grep -vxFf <(printf '%s\n' "${lost[@]}"))
        if [ "$round" = beyond ]; then refused "${left[@]}"; else works "${lost[@]}" -- "${left[@]}"; fi
    done
    stop_writing
    LEFT=("${left[@]}") LOST=("${lost[@]}") VICTIMS=("${victims[@]}") ALL=("${all[@]}")
}
