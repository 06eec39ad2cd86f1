/* The products inside attention, for four rows of queries at a time; a faster form of the same file
 * may lay the queries out as it likes. */
#ifndef EK_ATTEND_S8_H
#define EK_ATTEND_S8_H

#include <stddef.h>
#include <stdint.h>

enum { EK_ATTEND_ROWS = 4 };

/* Takes the zero point off rows of queries, 1 to 4, depth values each, and lays them side by side
 * in lanes: int16, EK_ATTEND_ROWS * depth of them. Rows that are missing become 0. */
void ek_attend_expand(const int8_t *q, size_t stride, uint32_t rows, uint32_t depth, int32_t zero,
                      int16_t *lanes);

/* scores [keys, 4]: sums of products of each key with the rows in lanes. */
void ek_attend_scores(const int16_t *lanes, const int8_t *k, size_t stride, uint32_t keys,
                      uint32_t depth, int32_t *scores);

/* sums [4]: of v [keys], a column with a stride, times weights [keys, 4] in 0 .. 2^15. */
void ek_attend_mix(const int32_t *weights, const int8_t *v, size_t stride, uint32_t keys,
                   int32_t *sums);

#endif
