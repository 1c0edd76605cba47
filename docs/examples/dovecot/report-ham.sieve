# Somebody moved a message out of their Junk folder: it is honest mail, unless they throw it away.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables", "special-use"];

if environment :matches "imap.mailbox" "*" {
  set "folder" "${1}";
}
if specialuse_exists "${folder}" ["\\Trash"] {
  stop;
}
if environment :matches "imap.user" "*" {
  set "user" "${1}";
}

pipe :copy :try "bms-learn" ["ham", "${user}"];
