#!/bin/sh
# Become a container: see this machine's programs, but the app's own /command, /data, /run, /ssl,
# hosts and package. Needs mount and PID namespaces of its own; $1 is the container's root,
# $2 the package.
set -eu
root=$1

mount --make-rprivate /
for entry in /*; do
  case $entry in /command | /data | /run | /ssl) continue ;; esac
  if [ -d "$entry" ]; then
    mkdir -p "$root$entry"
    mount --rbind "$entry" "$root$entry"
  fi
done
mount -t tmpfs tmpfs "$root/usr/src"
mkdir -p "$root/usr/src/app/ocpp_addon"
mount --bind "$2" "$root/usr/src/app/ocpp_addon"
mount --bind "$root/run/hosts" "$root/etc/hosts"
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin s6-svscan /run/service
