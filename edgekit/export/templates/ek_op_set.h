/* Operators of this kernel set, lines of ek_ops.def. */
$lines
