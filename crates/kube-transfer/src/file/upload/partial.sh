# What has arrived of an upload is kept in PATH.partial/, 0700: `data`, and in `holder` who writes it: the upload's id, and
# number and start time of its shell. Sets `id`, `pid` and `start` from that.
held() {
    read -r id pid start <"$partial/holder" || return
    set -- $(process "$pid")
    [ "$2" = "$start" ] && [ "$1" != Z ] && [ "$1" != X ]
}
is_ours() {
    [ -d "$partial" ] && [ ! -L "$partial" ] && [ -O "$partial" ]
}
