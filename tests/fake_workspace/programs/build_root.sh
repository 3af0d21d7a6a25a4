# Builds a root in memory out of all that lies in the real one and some folders more, and runs a command in it.
# Arguments: the root (an empty folder), a file to make once it is built, for each folder more how it is mounted (rw, ro
# or hidden), its name and the folder, --, the command's own folder, the command.
set -eu
root=$1 entered=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs "$root"
for entry in /* /.[!.]*; do
    if [ ! -e "$entry" ] && [ ! -L "$entry" ]; then continue; fi
    case $entry in /proc|/dbfs|/Volumes|/Workspace|/databricks|/local_disk0) continue; esac
    if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"
    elif [ -f "$entry" ]; then : > "$root$entry"; mount --bind "$entry" "$root$entry"
    fi
done
mkdir "$root/proc"
mount -t proc proc "$root/proc" 2> /dev/null || mount --rbind /proc "$root/proc"
while [ "$1" != -- ]; do
    mkdir -p "$root/$2"
    case $1 in
        hidden) mount -t tmpfs -o ro,mode=000 tmpfs "$root/$2" ;;
        *) mount --bind "$3" "$root/$2" ;;
    esac
    if [ "$1" = ro ]; then mount -o remount,ro,bind "$root/$2"; fi
    shift 3
done
shift
: > "$entered"
chroot "$root" sh -c 'cd "$0" && exec "$@"' "$@"
# not by exec: the first process of a namespace can't be killed from inside, and the command shall not be it
exit $?
