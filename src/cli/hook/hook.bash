__apim_agent_prompt() {
  # What the prompt shows of the last command stays as it was.
  local __apim_agent_status=$?
  # No trace of values where somebody has set -x; put back at the return (bash 4.4).
  { local -; set +xv; } 2>/dev/null
  # To the left of || nothing ends a shell with set -e.
  __apim_agent_sync || :
  return "$__apim_agent_status"
}

# First, so that it sees the last command's status; once, however often this is read.
if [[ "${PROMPT_COMMAND[*]-}" != *__apim_agent_prompt* ]]; then
  if [[ "$(declare -p PROMPT_COMMAND 2>/dev/null || :)" = "declare -a"* ]]; then
    PROMPT_COMMAND=(__apim_agent_prompt "${PROMPT_COMMAND[@]}")
  else
    PROMPT_COMMAND="__apim_agent_prompt${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  fi
fi
