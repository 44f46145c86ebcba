. "$(dirname "$0")/lib.sh"
at_once story a 4 follower leader
at_once story b 4 leader follower
at_once story c 2 leader
at_once story d 2 follower
all_of_them
down {a,b}{1..4} {c,d}{1..2}
