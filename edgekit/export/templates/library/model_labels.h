
/* Names of the outputs, in order; UTF-8. */
#define ${macro}_LABEL_COUNT ${label_count}u
extern const char *const ${prefix}_labels[${macro}_LABEL_COUNT];
