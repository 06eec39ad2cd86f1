#include "ek_status.h"

const char *ek_status_text(ek_status status) {
    switch (status) {
#define X(name, value, text) \
    case name:               \
        return text;
#include "ek_status.def"
#undef X
    }
    return "unknown status";
}
