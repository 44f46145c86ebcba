. "$(dirname "$0")/lib.sh"
at_once story a 7 leader leader follower follower
at_once story b 7 follower "leader follower follower"
all_of_them
down {a,b}{1..7}
