# store-admin, as far as retraining all models goes. Arguments: endpoint of etcd, prefix of the workspaces, instance.
#
# It reads its environment when it starts, waits for the schedule, and trains batch by batch. /practice is shared by all
# of its pods: `speed` says how many times faster than real it is, `faults` what it is to do differently.
set -uo noglob
TZ=UTC
: "${AUTO_RETRAIN_ALL_CRON_SCHEDULE:=}"
endpoint=$1 prefix=$2 own=/practice/$3
mkdir -p "$own"
# For waiting without a process.
exec 3<> <(:)

say() {
  local micros=${EPOCHREALTIME#*[.,]} time
  printf -v time '%(%Y-%m-%d %H:%M:%S)T' -1
  echo "[$time.${micros:0:3}] [$1] $2"
}

# Whether a fault is there; its value is in $value.
fault() {
  local words word
  words=$(cat /practice/faults 2>/dev/null)
  for word in $words; do
    value=${word#*=}
    [[ ${word%%=*} == "$1" ]] && return 0
  done
  return 1
}

# Waits so many seconds, or as much less as it is faster.
pause() {
  local speed milliseconds
  speed=$(cat /practice/speed)
  milliseconds=$(($1 * 1000 / speed))
  sleep "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))"
}

# Whether a field of the schedule holds a number; $3 is the smallest there is.
fits() {
  local parts part from
  [[ $1 == '*' || $1 == '?' ]] && return 0
  IFS=, read -ra parts <<<"$1"
  for part in "${parts[@]}"; do
    case $part in
    */*)
      from=${part%/*}
      [[ $from == '*' ]] && from=$3
      ((10#$2 >= 10#$from && (10#$2 - 10#$from) % 10#${part#*/} == 0)) && return 0
      ;;
    *-*) ((10#$2 >= 10#${part%-*} && 10#$2 <= 10#${part#*-})) && return 0 ;;
    *) ((10#$2 == 10#$part)) && return 0 ;;
    esac
  done
  return 1
}

# Whether the schedule fires in that second since 1970.
fires_at() {
  local second minute hour day month year weekday
  printf -v second '%(%S)T' "$1"
  fits "${fields[0]}" "$second" 0 || return 1
  printf -v minute '%(%M)T' "$1"
  printf -v hour '%(%H)T' "$1"
  printf -v day '%(%d)T' "$1"
  printf -v month '%(%m)T' "$1"
  printf -v weekday '%(%w)T' "$1"
  printf -v year '%(%Y)T' "$1"
  fits "${fields[1]}" "$minute" 0 && fits "${fields[2]}" "$hour" 0 && fits "${fields[3]}" "$day" 1 &&
    fits "${fields[4]}" "$month" 1 && fits "${fields[5]}" $((weekday + 1)) 1 && fits "${fields[6]:-*}" "$year" 1970
}

# Reads the schedule into $fields; false where it is none.
read_schedule() {
  local names=(JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC) days=(SUN MON TUE WED THU FRI SAT) at field
  local number='[0-9]+' part
  part="(\*|$number)([-/]$number)?"
  read -ra fields <<<"${AUTO_RETRAIN_ALL_CRON_SCHEDULE^^}"
  ((${#fields[@]} == 6 || ${#fields[@]} == 7)) || return 1
  for at in "${!names[@]}"; do fields[4]=${fields[4]//${names[at]}/$((at + 1))}; done
  for at in "${!days[@]}"; do fields[5]=${fields[5]//${days[at]}/$((at + 1))}; done
  for field in "${fields[@]}"; do
    [[ $field == '?' || $field =~ ^$part(,$part)*$ ]] || return 1
  done
  # Exactly one of the two day fields is left open.
  [[ ${fields[3]} == '?' && ${fields[5]} != '?' || ${fields[3]} != '?' && ${fields[5]} == '?' ]]
}

# Counts the workspaces, into $affected.
count() {
  local answer
  fault affected && affected=$value && return
  until answer=$(ETCDCTL_USER="root:$(cat /etc/etcd/credentials/pass.key)" ETCDCTL_API=3 etcdctl \
    --endpoints "$endpoint" --cert /etc/etcd/tls/etcd-client.crt --key /etc/etcd/tls/etcd-client.key \
    --cacert /etc/etcd/tls/etcd-client-ca.crt get --prefix "$prefix" --keys-only --limit=1 -w json 2>&1); do
    say ERROR "[RETRAIN-ALL] cannot list workspaces: ${answer##*$'\n'}"
    read -rt 1 -u 3
  done
  affected=0
  [[ $answer =~ \"count\":([0-9]+) ]] && affected=${BASH_REMATCH[1]}
}

# A number with commas between thousands.
grouped() {
  local number=$1 groups=
  while ((${#number} > 3)); do
    groups=,${number: -3}$groups
    number=${number:0:${#number}-3}
  done
  echo "$number$groups"
}

# What the real one prints is not public but for the words; here are several ways to say it.
summarize() {
  local tag='[RETRAIN-ALL-SUMMARY]' value=
  fault form || value=line
  case $value in
  json) echo "{\"level\":\"info\",\"message\":\"$tag Affected workspaces found = $affected Retrained Total = $retrained\"}" ;;
  reversed) say INFO "$tag Retrained Total: $(grouped "$retrained") (Affected workspaces found: $(grouped "$affected"))" ;;
  two-lines)
    say INFO "$tag Affected workspaces found: $affected"
    say INFO "$tag Retrained Total: $retrained"
    ;;
  unknown) say INFO "$tag retraining is under way" ;;
  *) say INFO "$tag Affected workspaces found: $affected, Retrained Total: $retrained" ;;
  esac
  echo "$affected $retrained ${AUTO_RETRAIN_ALL_CRON_SCHEDULE}" >"$own/progress"
}

# How many are trained at most, into $limit.
find_limit() {
  limit=$affected
  fault stall-after && ((value < limit)) && limit=$value
  fault gap && ((affected - value < limit)) && limit=$((affected > value ? affected - value : 0))
}

# Trains what is left, batch by batch.
train() {
  local batch wait_batch wait_training size ended= value limit
  batch=${BATCH_RETRAIN_ALL_SIZE:-10}
  wait_batch=${WAIT_TIME_BETWEEN_BATCH_RETRAIN_IN_SECONDS_FOR_RETRAIN_ALL:-50}
  wait_training=${WAIT_TIME_BETWEEN_TRAININGS_FOR_RETRAIN_ALL:-1}
  summarize
  while ((retrained < affected)); do
    find_limit
    size=$((limit - retrained < batch ? limit - retrained : batch))
    if ((size <= 0)); then
      # Until the fault is taken away.
      if [[ -z $ended ]] && fault gap; then
        ended=true
        say INFO "[RETRAIN-ALL] the last batch was sent"
      fi
      read -rt 0.2 -u 3
      continue
    fi
    say INFO "[RETRAIN-ALL] training a batch of $size"
    pause $((size * wait_training))
    retrained=$((retrained + size))
    summarize
    if fault crash-after && ((retrained >= value)) && [[ ! -e $own/crashed ]]; then
      : >"$own/crashed"
      say ERROR "[RETRAIN-ALL] out of memory"
      exit 137
    fi
    ((retrained < affected)) && pause "$wait_batch"
  done
  say INFO "[RETRAIN-ALL] all batches were sent"
}

# Trains everything, unless another pod does.
retrain_all() {
  exec 4>"$own/lock"
  if ! flock --nonblock 4; then
    say INFO "[RETRAIN-ALL] another pod retrains"
    return
  fi
  "$@"
  train
  exec 4>&-
}

begin() {
  rm -f "$own/crashed"
  retrained=0
  say INFO "[RETRAIN-ALL] begins"
  count
}

# Whether this very job was begun and not ended.
was_interrupted() {
  local schedule
  fault resume && [[ -r $own/progress ]] || return 1
  read -r affected retrained schedule <"$own/progress"
  [[ $schedule == "$AUTO_RETRAIN_ALL_CRON_SCHEDULE" ]] && ((retrained < affected))
}

say INFO "store-admin is ready"
if [[ ${AUTO_RETRAIN_ALL_ENABLED:-false} != true ]]; then
  say INFO "[RETRAIN-ALL] is not enabled"
elif ! read_schedule; then
  say ERROR "[RETRAIN-ALL] the schedule '${AUTO_RETRAIN_ALL_CRON_SCHEDULE:-}' is none"
else
  say INFO "[RETRAIN-ALL] is scheduled for '$AUTO_RETRAIN_ALL_CRON_SCHEDULE' UTC"
  was_interrupted && retrain_all say INFO "[RETRAIN-ALL] goes on"
  seen=$EPOCHSECONDS
  while true; do
    # A second that was slept through counts all the same.
    while ((seen < EPOCHSECONDS)); do
      seen=$((seen + 1))
      fires_at "$seen" && retrain_all begin
    done
    read -rt 0.2 -u 3
  done
fi
exec sleep infinity
