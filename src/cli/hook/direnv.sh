# apim-agent for direnv: `use apim_agent` in an .envrc. Printed by `apim-agent hook direnv`.
use_apim_agent() {
  local answer file place
  answer=$(@ASK@ 2>/dev/null </dev/null) || answer=
  file=${answer%%$'\n'*}
  # Those that are not there yet too: direnv then sees an agent begin.
  while IFS= read -r place; do
    if [[ -n $place ]]; then watch_file "$place"; fi
  done <<<"$answer"
  if [[ -n $file ]]; then
    dotenv "$file"
  else
    log_status "apim-agent: no agent runs for this workspace"
  fi
}
