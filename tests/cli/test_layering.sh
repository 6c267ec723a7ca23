#!/bin/bash
# The plan of the house holds: a file includes only its own room and lower floors; MPI, HDF5, the environment and the
# end of the process are touched only where they belong; what a room does not declare is static.
. "$(dirname "$0")/../support/shell.sh"
build=$1

declare -A floor=([base]=0 [config]=1 [kernels]=1 [parallel]=1 [net]=2 [diffusion]=2 [store]=2 [models]=3 [data]=3
    [train]=4 [evaluate]=5 [study]=6 [cli]=7)

# code ROOT: every line of src/ and include/ as "FILE ROOM CODE", comments gone, strings emptied but in #include
code() {
    (cd "$1" && find src include -name '*.[ch]' -print0 | sort -z | xargs -0 perl -0777 -ne '
        s{^(\s*#\s*include.*)|("(?:\\.|[^"\\\n])*")|/\*.*?\*/|//[^\n]*}{defined $1 ? $1 : defined $2 ? "\"\"" : ""}gsme;
        my ($room) = $ARGV =~ m{^(?:src|include/iddpm)/([^/.]*)};
        print "$ARGV $room $_\n" for split /\n/')
}

check_include() { # FILE ROOM HEADER
    local file=$1 room=$2 header=$3 other=${3#\"} folder=${1%/*}
    other=${other%\"}
    case $header in
    \<mpi.h\>) [[ $room =~ ^(parallel|store)$ ]] || complain "$file: mpi.h belongs to parallel and store" ;;
    \<hdf5.h\>) [[ $room =~ ^(store|cli)$ ]] || complain "$file: hdf5.h belongs to store" ;;
    \"iddpm/*.h\")
        other=${other#iddpm/}
        other=${other%.h}
        if [ -z "${floor[$other]-}" ]; then
            complain "$file: $header is no room of the plan"
        elif [ "$other" != "$room" ] && [ "${floor[$other]}" -ge "${floor[$room]}" ]; then
            complain "$file: includes $header, which is not below $room"
        fi
        ;;
    \"*)
        while [[ $other == ../* ]]; do other=${other#../} folder=${folder%/*}; done
        [[ $folder/ == src/$room/* ]] || complain "$file: includes $header of another room"
        ;;
    esac
}

# check_calls ROOMS PATTERN: only these rooms may call such a function
check_calls() {
    local file room line
    while read -r file room line; do
        [[ $room =~ ^($1)$ ]] || complain "$file: only $1 may do this: $line"
    done < <(grep -E "^[^ ]+ [^ ]+ (.*[^A-Za-z0-9_])?($2) *\(" "$work/code")
}

check_tree() { # ROOT
    local file room line
    code "$1" >"$work/code"
    while read -r file room; do
        [ -n "${floor[$room]-}" ] || complain "$file: '$room' is no room of the plan"
    done < <(cut -d ' ' -f 1,2 "$work/code" | uniq)
    while read -r file room line; do
        check_include "$file" "$room" "$line"
    done < <(sed -nE 's/^([^ ]+ [^ ]+) *# *include +(["<][^">]+[">]).*/\1 \2/p' "$work/code")
    check_calls "parallel|store" 'P?MPI_[A-Z][a-z][A-Za-z_]*'
    check_calls store 'H5[A-Z]{1,2}[a-z][A-Za-z0-9_]*'
    check_calls cli 'getenv|secure_getenv'
    check_calls "cli|parallel" 'exit|_exit|_Exit|quick_exit|abort'
}

# A symbol that other files see is declared in a header of its room. MPI_File_* are the latch of src/store; kernels have
# one name per instruction set.
check_symbols() { # ROOT BUILD
    local room symbol
    while read -r room symbol; do
        complain "src/$room: $symbol is in no header of the room, so it should be static"
    done < <(find "$2/CMakeFiles" -path '*.dir/src/*' -name '*.c.o' -exec nm -gA --defined-only {} + |
        sed -nE 's/.*\.dir\/src\/([^/]+)\/.*:[0-9a-f]+ [TDBRVW] ([A-Za-z]\w*)$/\1 \2/p' |
        grep -vE ' (MPI_File_.*|main)$' | sed -E 's/_(portable|avx2|avx512|avx512bf16)(_bf16)?$//' | sort -u |
        ROOT=$1 perl -e '
            sub text { open my $file, "<", shift or return ""; local $/; <$file> }
            while (<STDIN>) {
                my ($room, $symbol) = split;
                $declared{$room} //= join "", map { text($_) }
                    glob("$ENV{ROOT}/include/iddpm/$room.h $ENV{ROOT}/src/$room/*.h $ENV{ROOT}/src/$room/*/*.h");
                print unless $declared{$room} =~ /\b$symbol\b/;
            }')
}

check_tree "$here"
check_symbols "$here" "$build"
real=$failures

# The checks themselves: each of these lines is a breach.
bad=$work/bad
mkdir -p "$bad/src/net" "$bad/src/config" "$bad/src/cellar" "$bad/include/iddpm"
breach() { # FILE LINE
    failures=0
    printf '%s\n' "$2" >"$bad/$1"
    check_tree "$bad" >"$work/said"
    [ "$failures" = 1 ] || echo "FAILED: $failures complaints about '$2' in $1: $(cat "$work/said")" >>"$work/missed"
    rm "$bad/$1"
}
breach src/net/a.c '#include "iddpm/train.h"'
breach src/net/a.c '#include "iddpm/diffusion.h"'
breach src/net/a.c '#include "iddpm/attic.h"'
breach src/net/a.c '#include "../config/key.h"'
breach src/net/a.c '#include <mpi.h>'
breach src/net/a.c '#  include <hdf5.h>'
breach src/net/a.c 'MPI_Barrier(comm);'
breach src/net/a.c 'x = H5Fopen(a);'
breach src/net/a.c 'return getenv("HOME");'
breach src/net/a.c '/* why */ exit(1);'
breach src/config/a.c '    abort();'
breach src/cellar/a.c 'int x;'
breach include/iddpm/config.h '#include "iddpm/net.h"'
failures=0
printf '%s\n' '/* exit(1); */ log_info("exit(1)"); my_exit(2); // abort();' '#include "iddpm/base.h"' >"$bad/src/net/a.c"
check_tree "$bad"
[ "$failures" = 0 ] || echo "FAILED: harmless code was refused" >>"$work/missed"
failures=$real
[ ! -e "$work/missed" ] || { cat "$work/missed"; failures=$((failures + 1)); }
finish
