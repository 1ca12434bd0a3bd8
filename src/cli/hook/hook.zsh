__apim_agent_prompt() {
  # No trace of values where somebody has set -x, and zsh's own rules whatever the user's options are; for this call.
  { emulate -L zsh; setopt no_xtrace no_verbose; } 2>/dev/null
  __apim_agent_sync || :
}

# Once, however often this is read. zsh itself keeps the last command's status.
typeset -ga precmd_functions
if (( ! ${precmd_functions[(I)__apim_agent_prompt]} )); then
  precmd_functions=(__apim_agent_prompt $precmd_functions)
fi
