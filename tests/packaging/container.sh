#!/bin/sh
# Become a container: see the programs of an image, but the app's own /command, /data, /run, /ssl
# and hosts. Needs mount and PID namespaces of its own. $1 is the container's root, $2 the root of
# the image, $3 the package if the image lacks it.
set -eu
root=$1 image=${2%/} package=${3:-}

mount --make-rprivate /
for entry in "$image"/*; do
  name=${entry##*/}
  case $name in command | data | run | ssl) continue ;; dev | proc | tmp) entry=/$name ;; esac
  if [ -d "$entry" ]; then
    mkdir -p "$root/$name"
    mount --rbind "$entry" "$root/$name"
  fi
done
if [ -n "$package" ]; then
  mount -t tmpfs tmpfs "$root/usr/src"
  mkdir -p "$root/usr/src/app/ocpp_addon"
  mount --bind "$package" "$root/usr/src/app/ocpp_addon"
fi
mount --bind "$root/run/hosts" "$root/etc/hosts"
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin s6-svscan /run/service
