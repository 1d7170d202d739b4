#!/bin/sh
# Stands for a job of yours: it counts how many threads it was given.
echo "nightly: ${OMP_NUM_THREADS:-no} threads"
sleep 1
