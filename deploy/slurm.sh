#!/bin/bash
# 512 v 512 on whole nodes of a Slurm cluster:  sbatch deploy/slurm.sh
#
# Needs Ray 2.49 or newer (`ray symmetric-run`), the project with its .venv in a folder that all nodes see (submit from
# there), and a home folder that they share. Change first: nodes, GPUs, time, partition, and the algorithms.
#
# Not for nodes that several jobs share: symmetric-run takes Ray's usual ports, and ends with `ray stop`, which ends
# every Ray of yours on the node. Hence --exclusive.
#
#SBATCH --job-name=forget512
#SBATCH --nodes=4
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
# Back to the queue when a node fails or another job takes the nodes, with one log for all attempts. Slurm does that
# itself after a preemption; at the end of --time it does not, so it tells this script 60 s before. Not by TERM, which
# `scancel` sends: what is cancelled shall not come back. After the loss of the driver alone: sbatch again.
#SBATCH --requeue
#SBATCH --signal=B:USR1@60
#SBATCH --open-mode=append
set -euo pipefail

# Each finished run is in the store already; the same script goes on with what is missing.
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1

# shellcheck source=/dev/null
. .venv/bin/activate

# Ray's token keeps other users of the cluster out: it is written to the home folder once, and all nodes read it there.
export RAY_AUTH_MODE=token
ray get-auth-token --generate > /dev/null

# The first node is the head. Its address must be the one that the other nodes reach, so not 127.0.0.1.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | cut -d ' ' -f 1)

# symmetric-run waits 30 s for the nodes unless told otherwise; torch from a shared folder can take longer to load.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600

# In the background, because a shell that waits for a foreground command does not hear the signal.
srun ray symmetric-run \
    --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$SLURM_GPUS_ON_NODE" \
    -- python -u -m forget512 evaluate finetune forget_remember \
    --dataset cifar10 --runs 512 --data-dir data \
    --address auto --gpus-per-run 0.25 \
    --store store --log-json "events-$SLURM_JOB_ID.jsonl" &
wait $!
