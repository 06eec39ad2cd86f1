/* Status of every call: EK_OK is 0, errors are negative. */
#ifndef EK_STATUS_H
#define EK_STATUS_H

typedef enum ek_status {
#define X(name, value, text) name = value,
#include "ek_status.def"
#undef X
} ek_status;

/* English text of a status, never NULL. */
const char *ek_status_text(ek_status status);

#endif
