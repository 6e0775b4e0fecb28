# shellcheck shell=dash
# What OpenWrt's /lib/functions.sh and jshn.sh give, as far as our scripts use it: see rc.common beside this file.
#
# shellcheck disable=SC3043 # The ash of OpenWrt has `local`.
# shellcheck disable=SC1090,SC2034,SC2154 # What is read is named at run time, and sets what others read.
# shellcheck disable=SC2013 # Paths in packages have no blanks.

# quoted TEXT: a JSON string, of any bytes but NUL.
quoted() {
	TEXT="$1" awk 'BEGIN {
		for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
		escape["\""] = "\\\""
		escape["\\"] = "\\\\"
		count = length(ENVIRON["TEXT"])
		for (i = 1; i <= count; i++) {
			char = substr(ENVIRON["TEXT"], i, 1)
			out = out (char in escape ? escape[char] : char)
		}
		printf "\"%s\"", out
	}'
}

# -- jshn.sh

json_init() {
	JSON_TEXT='{' JSON_ENDS='}' JSON_COMMA=
}

json_member() {
	JSON_TEXT=$JSON_TEXT$JSON_COMMA
	JSON_COMMA=,
	case $JSON_ENDS in
	'}'*) JSON_TEXT=$JSON_TEXT$(quoted "$1"): ;;
	esac
}

json_open() {
	json_member "$1"
	JSON_TEXT=$JSON_TEXT$2 JSON_ENDS=$3$JSON_ENDS JSON_COMMA=
}

json_close() {
	JSON_TEXT=$JSON_TEXT${JSON_ENDS%"${JSON_ENDS#?}"} JSON_ENDS=${JSON_ENDS#?} JSON_COMMA=,
}

json_add_object() {
	json_open "$1" '{' '}'
}

json_add_array() {
	json_open "$1" '[' ']'
}

json_close_object() {
	json_close
}

json_close_array() {
	json_close
}

json_add_string() {
	json_member "$1"
	JSON_TEXT=$JSON_TEXT$(quoted "$2")
}

json_add_int() {
	json_member "$1"
	JSON_TEXT=$JSON_TEXT$2
}

json_add_boolean() {
	json_member "$1"
	if [ "$2" = 1 ]; then JSON_TEXT=${JSON_TEXT}true; else JSON_TEXT=${JSON_TEXT}false; fi
}

json_dump() {
	printf '%s%s\n' "$JSON_TEXT" "$JSON_ENDS"
}

json_cleanup() {
	unset JSON_TEXT JSON_ENDS JSON_COMMA
}

# -- UCI. Its files are lines of `config`, `option` and `list` with quoted words, as `uci export` gives them to a shell.

config() {
	CONFIG_COUNT=$((CONFIG_COUNT + 1))
	CONFIG_SECTION=${2:-cfg$CONFIG_COUNT}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	eval "CONFIG_${CONFIG_SECTION}_TYPE=\$1"
}

option() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\$2"
}

list() {
	local length
	config_get length "$CONFIG_SECTION" "$1_LENGTH" 0
	length=$((length + 1))
	eval "CONFIG_${CONFIG_SECTION}_$1_ITEM$length=\$2"
	eval "CONFIG_${CONFIG_SECTION}_$1_LENGTH=$length"
	eval "CONFIG_${CONFIG_SECTION}_$1=\"\${CONFIG_${CONFIG_SECTION}_$1:+\${CONFIG_${CONFIG_SECTION}_$1} }\$2\""
}

# What was loaded before is forgotten: UCI gives what the file says now.
config_load() {
	local name
	for name in $(set | sed -n 's/^\(CONFIG_[A-Za-z0-9_]*\)=.*/\1/p'); do
		unset "$name"
	done
	CONFIG_COUNT=0 CONFIG_SECTIONS=
	. "/etc/config/$1"
}

# config_get VARIABLE SECTION OPTION [DEFAULT], or config_get SECTION OPTION, which prints.
config_get() {
	case $2${3:-$1} in
	*[!A-Za-z0-9_]*) return ;;
	esac
	if [ -n "$3" ]; then
		eval "$1=\${CONFIG_${2}_${3}:-\$4}"
	else
		eval "printf '%s\n' \"\$CONFIG_${1}_${2}\""
	fi
}

config_get_bool() {
	local _bool
	config_get _bool "$2" "$3" "$4"
	case $_bool in
	1 | on | true | yes | enabled) _bool=1 ;;
	0 | off | false | no | disabled) _bool=0 ;;
	*) _bool=$4 ;;
	esac
	eval "$1=\$_bool"
}

config_foreach() {
	local ___function="$1" ___type="$2" section cfgtype
	shift 2
	for section in $CONFIG_SECTIONS; do
		config_get cfgtype "$section" TYPE
		[ "$cfgtype" != "$___type" ] || eval "$___function \"\$section\" \"\$@\""
	done
}

config_list_foreach() {
	local section="$1" option="$2" function="$3" val len c=1
	shift 3
	config_get len "$section" "${option}_LENGTH"
	[ -n "$len" ] || return 0
	while [ "$c" -le "$len" ]; do
		config_get val "$section" "${option}_ITEM$c"
		eval "$function \"\$val\" \"\$@\""
		c=$((c + 1))
	done
}

# -- Maintainer scripts. Users first, then what runs once, then the services: as the router's own functions go about it.

default_postinst() {
	local info=/usr/lib/opkg/info/toolgate user group file
	user=$(sed -n 's/^Require-User: *//p' "$info.control")
	group=${user#*:} user=${user%%:*}
	grep -q "^${group%=*}:" /etc/group || echo "${group%=*}:x:${group#*=}:" >>/etc/group
	grep -q "^${user%=*}:" /etc/passwd ||
		echo "${user%=*}:x:${user#*=}:${group#*=}:${user%=*}:/var/run/${user%=*}:/bin/false" >>/etc/passwd
	for file in $(grep '^/etc/uci-defaults/' "$info.list"); do
		# shellcheck disable=SC2015
		(cd "${file%/*}" && . "$file") && rm -f "$file"
	done
	for file in $(grep '^/etc/init.d/' "$info.list"); do
		"$file" enable
		"$file" start
	done
}

default_prerm() {
	local file
	for file in $(grep '^/etc/init.d/' /usr/lib/opkg/info/toolgate.list); do
		"$file" disable
		"$file" stop
	done
}
