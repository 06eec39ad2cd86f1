
const char *const ${prefix}_labels[${macro}_LABEL_COUNT] = {
$labels
};
