#!/bin/sh
# Makes a golden repository: tests/golden/make.sh HEIRLOOM OUTPUT.tar.gz
#
# One for each format, made once by the last release that writes it, and never
# again: they show that what users have is still read. HEIRLOOM is the binary, at a
# path that says nothing of this machine (/usr/local/bin/heirloom), for it stands in
# the recorded command lines. The archive is named after the format, `format-2.tar.gz`.
set -eu
heirloom=$1
output=$(realpath -m "$2")
name=$(basename "$output" .tar.gz)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$(dirname "$heirloom"):$PATH" HEIRLOOM_HOME="$work/$name" HEIRLOOM_CACHE="$work/cache"
unset HEIRLOOM_RUN HEIRLOOM_PROJECT

mkdir "$work/d" "$work/m"
cd "$work/d"
for i in 1 2 3 4 5 6; do echo "file $i" > "f$i.txt"; done
# A whole object, of bytes that compress well.
yes 0123456789 | head -c 1100000 > big.bin
heirloom put . -n animals -t dataset --alias raw -q
heirloom run start --id prep --job-type prepare -q
heirloom put . -n animals --run prep -q
echo changed > f1.txt
heirloom put . -n animals --alias best --run prep -q
echo added > f7.txt
heirloom put . -n animals -q
echo more > f8.txt
heirloom put . -n animals -q
heirloom rm animals:v3 -q

cd "$work/m"
echo model > model.txt
heirloom run start --id train --job-type train -q
heirloom use animals:best --run train -q
heirloom put model.txt -n model -t model --alias prod --run train -q
heirloom run finish train --exit-code 0 -q
heirloom artifact tag model:v0 good -q
heirloom artifact link model:v0 registry-models --alias staging -q
heirloom artifact update animals:v0 --description 'the first' -q
heirloom artifact rename model model2 -q
heirloom put model.txt -n 'ünï cödé' -t dataset --project other -q
heirloom verify -q

# What may be missing: it is made again.
rm -f "$HEIRLOOM_HOME/reserve" "$HEIRLOOM_HOME/commit.lock"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -czf "$output" "$name"
ls -l "$output"
