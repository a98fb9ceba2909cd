#!/bin/bash
# The central model that comes with c2lst, from the images to the folder that is shipped:
#     benchmarks/builtin.sh LC25000 WORK
# LC25000 is a folder of the data set's images (five folders, one for each class) with groups.csv
# (file,class,group: tiles of one field are of one group). First windows of half the side, which are
# cheap, then whole patches: about three hours on one processor core. Interrupted, the same command
# goes on.
set -euo pipefail
images=$1 work=$2 here=$(dirname "$0")
terms="LC25000: freely available for download to AI researchers"

[ -f "$work/lc64/collection.json" ] ||
    c2lst collect "$images" -o "$work/lc64" --size 64 --groups "$images/groups.csv" \
        --validation 0.1 --licence "$terms"
[ -f "$work/windows/central.json" ] ||
    c2lst pretrain "$work/lc64" -o "$work/windows" --preset base --config "$here/builtin.toml" \
        --watch 2
[ -f "$work/central/central.json" ] ||
    c2lst pretrain "$work/lc64" -o "$work/central" --preset base --from "$work/windows" \
        --config "$here/builtin_whole.toml" --watch 1
c2lst publish "$work/central" --to "$here/../src/c2lst/models/lc25000-64" --half \
    --recipe "$here/builtin.sh"
