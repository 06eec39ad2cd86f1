/* One pixel of a 3x3 depthwise convolution, four channels at a time, in assembly. */
#ifndef EK_DEPTHWISE_3X3_S8_H
#define EK_DEPTHWISE_3X3_S8_H

#include "ek_lane.h"

/* Four channels. Taps in the order of reading; each weight doubled. */
typedef struct ek_depthwise_group {
    int32_t bias[4];     /* doubled */
    uint32_t pair[4][4]; /* taps 0 and 1, 2 and 5, 3 and 4, 6 and 7: one word per channel */
    uint32_t last[2];    /* tap 8: channels 0 and 2, 1 and 3 */
    ek_lane lane[4];
} ek_depthwise_group;

typedef struct ek_depthwise_3x3 {
    const int8_t *x; /* first tap, first channel */
    size_t column;   /* bytes from one column to the next */
    size_t row;
    const ek_depthwise_group *groups;
    int8_t *y;
    int8_t *y_end; /* y + 4 for each group, at least 1 */
} ek_depthwise_3x3;

/* Outputs saturate to int8, rounded twice; sums must stay below 2^30. */
void ek_depthwise_3x3_s8(const ek_depthwise_3x3 *pixel);

#endif
