# apim-agent: keeps this shell's variables as the running agent publishes them. Printed by `apim-agent hook fish`.
# Only builtins, but for one call of apim-agent where the folder or the agent changes.
set -g __apim_agent_file ''
set -g __apim_agent_places
set -g __apim_agent_folder ''
set -g __apim_agent_stamp ''
set -g __apim_agent_asked 0

# Where the env file is, and where it may appear.
function __apim_agent_ask
    set -g __apim_agent_folder $PWD
    set -g __apim_agent_asked (__apim_agent_clock)
    set -l answer (@ASK@ 2>/dev/null </dev/null)
    set -g __apim_agent_file "$answer[1]"
    set -g __apim_agent_places $answer[2..]
end

# Seconds; fish has no builtin clock.
function __apim_agent_clock
    read -l up </proc/uptime
    string replace -r '\..*' '' -- $up
end

# Whether an agent may have begun since: its file is there, or the last question is some seconds old.
function __apim_agent_may_be_there
    test (math (__apim_agent_clock) - $__apim_agent_asked) -ge 5; and return 0
    for place in $__apim_agent_places
        test -O $place; and return 0
    end
    return 1
end

# Unsets what a hook has set, in this shell or in the one that it came from.
function __apim_agent_unload
    for name in (string split -n : -- "$APIM_AGENT_HOOK")
        string match -qr '^[A-Za-z_][A-Za-z0-9_]*$' -- $name; and set -e -g $name
    end
    set -e -g APIM_AGENT_HOOK
    set -g __apim_agent_stamp ''
end

# Which set the file holds. An agent that was started anew begins at 1 again: hence the time too.
function __apim_agent_read_stamp
    while read -l line
        switch $line
            case 'APIM_AGENT_GENERATION=*' 'APIM_AGENT_EXPIRES_AT=*'
                set -ga __apim_agent_seen $line
        end
    end
end

function __apim_agent_load
    set -l names
    __apim_agent_unload
    while read -l line
        # Comments and whatever is no assignment are passed over.
        set -l pair (string match -r '^([A-Za-z_][A-Za-z0-9_]*)=(.*)$' -- $line); or continue
        set -gx $pair[2] "$pair[3]"
        set -a names $pair[2]
    end
    set -gx APIM_AGENT_HOOK (string join : -- $names)
end

function __apim_agent_prompt --on-event fish_prompt
    if test "$PWD" != "$__apim_agent_folder"
        __apim_agent_ask
    else if test -n "$__apim_agent_file"
        # Gone: the agent has ended, or another one stands elsewhere.
        test -r "$__apim_agent_file"; or __apim_agent_ask
    else if __apim_agent_may_be_there
        __apim_agent_ask
    end
    if test -z "$__apim_agent_file"
        set -q APIM_AGENT_HOOK; and __apim_agent_unload
        return 0
    end
    set -g __apim_agent_seen $__apim_agent_file
    __apim_agent_read_stamp <$__apim_agent_file 2>/dev/null; or return 0
    test "$__apim_agent_seen" = "$__apim_agent_stamp"; and set -q APIM_AGENT_HOOK; and return 0
    set -l seen "$__apim_agent_seen"
    __apim_agent_load <$__apim_agent_file 2>/dev/null; or return 0
    set -g __apim_agent_stamp $seen
end
