# As read.sh, in fish: read.fish FILE NAMES
source $argv[1]; or exit 1
while read --local __name
    if set -q $__name
        printf '=%s\0' $$__name
    else
        printf '-\0'
    end
end <$argv[2]
