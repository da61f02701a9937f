#!/bin/bash
# Ends the SLURM that slurm_up.sh <folder> started, with the jobs that still run in it.
folder=$1
export SLURM_CONF=$folder/slurm.conf
timeout 5 scancel --quiet --full --signal=KILL --user="$(id -un)"
timeout 5 scancel --quiet --user="$(id -un)"
pids=$(cat "$folder"/slurmd.n?.pid "$folder"/slurmctld.pid "$folder"/munge/pid 2>/dev/null)
[ -n "$pids" ] || exit 0
kill $pids 2>/dev/null
for _ in $(seq 30); do
  kill -0 $pids 2>/dev/null || break
  sleep 0.1
done
kill -9 $pids 2>/dev/null
exit 0
