# Somebody moved a message into their Junk folder: it is spam.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];

if environment :matches "imap.user" "*" {
  set "user" "${1}";
}

# :try, because the message is in its folder whether or not the filter could learn.
pipe :copy :try "bms-learn" ["spam", "${user}"];
