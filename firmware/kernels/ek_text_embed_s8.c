/* Counts the tokens of a sentence and embeds them: ids int32 [1, L], tokens [V, r], positions [L,
 * r], w [d, 2 r + 1], requant int32 [d, 3]; writes y [1, L, d], rows up to the count, and the count
 * int32 [1]. A row is w times {row of the id, row of the position, flag from the first separator
 * on}. An operator of our own. Params: sep, flag, rounding. Scratch: 4 rows. Twin:
 * edgekit/ops/text.py, _embed */
#include "ek_sentence.h"

enum { SEP, FLAG, ROUNDING, PARAMS };
enum { IDS, TOKENS, POSITIONS, WEIGHTS, REQUANT, Y, COUNT };

ek_status ek_text_embed_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (call->inputs != 5 || call->outputs != 2 || call->param_count != PARAMS ||
        t[IDS].type != EK_S32 || t[IDS].rank != 2 || t[IDS].dims[0] != 1 || t[IDS].constant != 0 ||
        !ek_states_ok(&t[Y]) || !ek_count_ok(&t[COUNT]) || t[Y].dims[1] != t[IDS].dims[1]) {
        return EK_ERR_SHAPE;
    }
    const uint32_t r = t[TOKENS].dims[1];
    if (t[TOKENS].type != EK_S8 || t[TOKENS].constant == 0 || t[TOKENS].rank != 2 ||
        r > EK_MAX_WIDTH || t[POSITIONS].type != EK_S8 || t[POSITIONS].constant == 0 ||
        t[POSITIONS].rank != 2 || t[POSITIONS].dims[0] != t[IDS].dims[1] ||
        t[POSITIONS].dims[1] != r || t[REQUANT].dims[1] != 3 ||
        !ek_weights_ok(&t[WEIGHTS], &t[REQUANT], t[Y].dims[2], 2u * r + 1u)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, FLAG, 1, -128, 127) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = EK_ROWS * (2u * r + 1u);
    return EK_OK;
}

void ek_text_embed_s8(const ek_call *call) {
    const ek_tensor *t = call->tensors;
    const uint8_t *ids = t[IDS].data;
    const uint32_t r = t[TOKENS].dims[1];
    const uint32_t d = t[WEIGHTS].dims[0];
    const uint32_t last = t[TOKENS].dims[0] - 1u;
    const int32_t sep = ek_param(call, SEP);
    const int8_t *positions = (const int8_t *)t[POSITIONS].data;
    int8_t *rows = (int8_t *)call->scratch;
    int8_t *y = (int8_t *)t[Y].write;
    const ek_matmul m = {
        .weights = (const int8_t *)t[WEIGHTS].data,
        .requant = t[REQUANT].data,
        .requant_stride = 12,
        .n = d,
        .k = 2u * r + 1u,
        .y_zero_point = t[Y].zero_point,
        .y_min = -128,
        .y_max = 127,
        .rounding = ek_param(call, ROUNDING),
        .x = rows,
    };
    uint32_t count = t[IDS].dims[1];
    while (count > 1 && ek_get_i32(ids + 4 * (size_t)(count - 1)) == 0) {
        count--;
    }
    int8_t flag = 0;
    for (uint32_t first = 0; first < count; first += EK_ROWS) {
        const uint32_t block = count - first < EK_ROWS ? count - first : EK_ROWS;
        int8_t *row = rows;
        for (uint32_t i = 0; i < block; i++) {
            const int32_t id = ek_get_i32(ids);
            const uint32_t at = id < 0 ? 0 : (uint32_t)id > last ? last : (uint32_t)id;
            flag = id == sep ? (int8_t)ek_param(call, FLAG) : flag;
            ek_copy_bytes(row, (const int8_t *)t[TOKENS].data + (size_t)at * r, r);
            ek_copy_bytes(row + r, positions, r);
            row[2u * r] = flag;
            row += m.k;
            positions += r;
            ids += 4;
        }
        ek_matmul_s8(&m, block, y);
        y += (size_t)block * d;
    }
    ek_put_u32(t[COUNT].write, count);
}
