/* Gives the runtime's functions the prefix of this model, so that two models can be linked into
 * one program. */
#ifndef EK_NAMES_H
#define EK_NAMES_H

#define ek_status_text ${prefix}_status_text
$defines

/* Parts of the kernels that no layer of this model needs. */
$parts
#endif
