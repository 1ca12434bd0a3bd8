# Reads an env file as this shell does, and tells what it found.
#
#   read.sh HOW FILE NAMES     HOW: file (sourced), text (evaluated), direnv (what `dotenv` in an .envrc does)
#
# For each line of NAMES: "=" and the value, or "-" if it is not set; then NUL.
__how=$1 __file=$2 __names=$3
case $__how in
file) . "$__file" ;;
text) eval "$(cat "$__file")" ;;
direnv) eval "$(direnv dotenv bash "$__file")" ;;
esac || exit 1
while IFS= read -r __name; do
    eval "if [ -n \"\${$__name+set}\" ]; then printf '=%s\\0' \"\$$__name\"; else printf '-\\0'; fi"
done <"$__names"
