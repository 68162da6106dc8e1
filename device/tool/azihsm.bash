# bash completion of azihsm(1)                                            -*- shell-script -*-
_azihsm() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="" sub="" i
    local commands="status provision key unwrapping-key change-pin credential certificates attest verify reset counters metrics
        connections revoke-tickets conditions stop backup restore help"
    local global="--device --partition --pin-source --control --keys --timeout --json"
    local -A options=(
        [provision]="--state-dir --credential --watch --interval" [unwrapping-key]="--out" [change-pin]="--pin-file" [credential]="--out"
        [certificates]="--out" [attest]="--data --data-hex --out" [verify]="--root --root-sha256 --data --data-hex --app-id --key --generated"
        [counters]="--reset" [conditions]="--clear --delay-ms --delay-op --reset-after --fail-count --fail-op --fail-status"
        [backup]="--state-dir --out" [restore]="--in --state-dir"
        [key/generate]="--type --curve --bits --usage --label --tag --out --force"
        [key/import]="--in --password-file --usage --label --tag --wrapped --class --hash --out --force"
        [key/wrap]="--in --unwrapping-key --password-file --hash --out" [key/show]="--check --public"
    )
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --json | --watch | --check | --force | --clear | --reset | --generated | --wrapped) ;;
        --*) ((i++)) ;;
        *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; elif [[ -z $sub ]]; then sub=${COMP_WORDS[i]}; fi ;;
        esac
    done
    case $prev in
    --type) COMPREPLY=($(compgen -W "ec rsa aes hmac" -- "$cur")); return ;;
    --curve) COMPREPLY=($(compgen -W "P-256 P-384 P-521" -- "$cur")); return ;;
    --bits) COMPREPLY=($(compgen -W "128 192 256 256-gcm 256-xts 384 512 2048 3072 4096" -- "$cur")); return ;;
    --usage) COMPREPLY=($(compgen -W "sign decrypt derive" -- "$cur")); return ;;
    --hash) COMPREPLY=($(compgen -W "sha1 sha256 sha384 sha512" -- "$cur")); return ;;
    --class) COMPREPLY=($(compgen -W "rsa rsa-nocrt ec aes aes-gcm aes-xts" -- "$cur")); return ;;
    --state-dir | --keys) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --in | --out | --root | --key | --public | --credential | --password-file | --pin-file | --unwrapping-key | --control)
        COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    if [[ $cur == --* ]]; then
        [[ $command == key ]] && command=key/$sub
        COMPREPLY=($(compgen -W "${options[$command]:-} $global" -- "$cur"))
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    elif [[ $command == key && -z $sub ]]; then
        COMPREPLY=($(compgen -W "generate import list show delete wrap help" -- "$cur"))
    elif [[ $command == help ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    else
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -F _azihsm azihsm
