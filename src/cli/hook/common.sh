# apim-agent: keeps this shell's variables as the running agent publishes them. Printed by `apim-agent hook`.
# For bash and zsh. Only builtins, but for one call of apim-agent where the folder or the agent changes.
__apim_agent_file= __apim_agent_places= __apim_agent_folder= __apim_agent_stamp= __apim_agent_asked=

# Where the env file is, and where it may appear.
__apim_agent_ask() {
  local answer
  __apim_agent_folder=$PWD __apim_agent_asked=$SECONDS
  answer=$(@ASK@ 2>/dev/null </dev/null) || answer=
  __apim_agent_file=${answer%%$'\n'*} __apim_agent_places=
  if [[ $answer = *$'\n'* ]]; then __apim_agent_places=${answer#*$'\n'}; fi
}

# Whether an agent may have begun since: its file is there, or the last question is some seconds old.
__apim_agent_may_be_there() {
  local rest=$__apim_agent_places place age=$((SECONDS - ${__apim_agent_asked:-0}))
  if ((age < 0 || age >= 5)); then return 0; fi
  while [[ -n $rest ]]; do
    place=${rest%%$'\n'*}
    if [[ $rest = *$'\n'* ]]; then rest=${rest#*$'\n'}; else rest=; fi
    if [[ -O $place ]]; then return 0; fi
  done
  return 1
}

# Unsets what a hook has set, in this shell or in the one that it came from.
__apim_agent_unload() {
  local rest=${APIM_AGENT_HOOK-} name
  while [[ -n $rest ]]; do
    name=${rest%%:*}
    if [[ $rest = *:* ]]; then rest=${rest#*:}; else rest=; fi
    if [[ -n $name && $name != *[!A-Za-z0-9_]* && $name != [0-9]* ]]; then \unset -v "$name"; fi
  done
  \unset -v APIM_AGENT_HOOK
  __apim_agent_stamp=
}

# Which set the file holds. An agent that was started anew begins at 1 again: hence the time too.
__apim_agent_read_stamp() {
  local line generation=
  while IFS= \read -r line; do
    case $line in
      APIM_AGENT_GENERATION=*) generation=${line#*=} ;;
      APIM_AGENT_EXPIRES_AT=*) REPLY="$__apim_agent_file $generation ${line#*=}"; return 0 ;;
    esac
  done
  return 1
}

__apim_agent_load() {
  local line name names=
  __apim_agent_unload
  while IFS= \read -r line; do
    name=${line%%=*}
    # Comments and whatever is no assignment.
    if [[ $name = "$line" || -z $name || $name = *[!A-Za-z0-9_]* || $name = [0-9]* ]]; then continue; fi
    \export "$name=${line#*=}"
    names=$names:$name
  done
  \export APIM_AGENT_HOOK="${names#:}"
}

__apim_agent_sync() {
  local REPLY=
  if [[ $PWD != "$__apim_agent_folder" ]]; then
    __apim_agent_ask
  elif [[ -n $__apim_agent_file ]]; then
    # Gone: the agent has ended, or another one stands elsewhere.
    if [[ ! -r $__apim_agent_file ]]; then __apim_agent_ask; fi
  elif __apim_agent_may_be_there; then
    __apim_agent_ask
  fi
  if [[ -z $__apim_agent_file ]]; then
    if [[ -n ${APIM_AGENT_HOOK-} ]]; then __apim_agent_unload; fi
    return 0
  fi
  { __apim_agent_read_stamp <"$__apim_agent_file"; } 2>/dev/null || return 0
  if [[ $REPLY = "$__apim_agent_stamp" && -n ${APIM_AGENT_HOOK-} ]]; then return 0; fi
  { __apim_agent_load <"$__apim_agent_file"; } 2>/dev/null || return 0
  __apim_agent_stamp=$REPLY
}

