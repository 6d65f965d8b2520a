#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs what comes on the second serial port: a line "NUMBER SECONDS COMMAND", the command in base64. Answers "NUMBER
# STATUS OUTPUT", the output in base64; 137 is the status of what took longer than its seconds.
export PATH=/memfold/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8

exec <>/dev/ttyS1 >&0
stty 115200 raw -echo
mkdir -p /run/agent
echo "READY"
while read -r number limit command; do
    echo "$command" | base64 -d >/run/agent/command
    timeout -s KILL "$limit" sh /run/agent/command >/run/agent/output 2>&1 </dev/null
    status=$?
    printf '%s %s %s\n' "$number" "$status" "$(base64 -w 0 /run/agent/output)"
done
