. "$(dirname "$0")/lib.sh"
at_once story a 5 follower leader leader
at_once story b 5 leader "follower follower"
at_once story c 5 leader "leader follower"
all_of_them
down {a,b,c}{1..5}
