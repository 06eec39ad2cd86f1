/* What every kernel gets, and how it is proven: one node with its tensors resolved. */
#ifndef EK_KERNEL_H
#define EK_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "ek_bytes.h"
#include "ek_status.h"

#define EK_MAX_RANK 6u
#define EK_MAX_NODE_TENSORS 18u

/* Largest dot product: 65,536 terms of 128 * 128 fit 31 bits. */
#define EK_MAX_TERMS 65536u

/* Largest tensor that a kernel with 32-bit coordinates takes. */
#define EK_MAX_INDEX 0x10000000u

enum { EK_S8 = 1, EK_S32 = 2, EK_S16 = 3 };

/* Bytes of one element of a type that was proven. */
static inline uint32_t ek_type_bytes(uint32_t type) {
    return type == EK_S8 ? 1u : type == EK_S16 ? 2u : 4u;
}

typedef struct ek_tensor {
    const uint8_t *data;        /* NULL while an image is proven, unless it is a constant */
    uint8_t *write;             /* NULL for constants */
    uint32_t dims[EK_MAX_RANK]; /* beyond rank: 1 */
    uint32_t rank;
    uint32_t count; /* elements */
    int32_t zero_point;
    uint32_t type; /* EK_S8, EK_S16 or EK_S32 */
    uint32_t constant;
} ek_tensor;

typedef struct ek_call {
    ek_tensor tensors[EK_MAX_NODE_TENSORS]; /* inputs, then outputs */
    const uint8_t *params;                  /* int32, little-endian */
    uint8_t *scratch;                       /* 16-byte aligned; NULL while an image is proven */
    uint32_t inputs;
    uint32_t outputs;
    uint32_t param_count;
} ek_call;

/* What a node asks of the arena; EK_NEED_NOTHING unless a kernel says otherwise. */
typedef struct ek_need {
    uint32_t scratch_bytes;
    /* Output 0 may overlap input 0 if it begins at least so many bytes before it. */
    uint32_t lead;
    /* Output 0 is the bytes of input 0 from here on, and may lie there; then nothing moves. */
    uint32_t begin;
    /* 1 if output 0 is the bytes of all inputs one after the other: each may lie there. */
    uint32_t joins;
} ek_need;

#define EK_APART UINT32_MAX
#define EK_NEED_NOTHING \
    { 0, EK_APART, EK_APART, 0 }

/* Proves that the kernel stays inside its tensors and need->scratch_bytes of scratch for any
 * content, and that it reads no byte of input 0 after writing it where output 0 begins need->lead
 * bytes before. Constants can be read. */
typedef ek_status (*ek_check_fn)(const ek_call *call, ek_need *need);
typedef void (*ek_run_fn)(const ek_call *call);

static inline int32_t ek_param(const ek_call *call, uint32_t index) {
    return ek_get_i32(call->params + 4u * index);
}

/* True if params [first, first + count) all lie in [low, high]. */
static inline int ek_params_in(const ek_call *call, uint32_t first, uint32_t count, int32_t low,
                               int32_t high) {
    for (uint32_t i = first; i < first + count; i++) {
        int32_t value = ek_param(call, i);
        if (value < low || value > high) {
            return 0;
        }
    }
    return 1;
}

/* True if params [first], [first + 1] are an int8 range. */
static inline int ek_clamp_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 2, -128, 127) &&
           ek_param(call, first) <= ek_param(call, first + 1u);
}

/* True if params [first], [first + 1] are an int16 range. */
static inline int ek_clamp_16_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 2, -32768, 32767) &&
           ek_param(call, first) <= ek_param(call, first + 1u);
}

/* True if params [first], [first + 1] are a multiplier and a shift. */
static inline int ek_scale_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 1, 0, INT32_MAX) && ek_params_in(call, first + 1u, 1, -31, 30);
}

static inline int ek_same_dims(const ek_tensor *a, const ek_tensor *b) {
    for (uint32_t i = 0; i < EK_MAX_RANK; i++) {
        if (a->dims[i] != b->dims[i]) {
            return 0;
        }
    }
    return a->rank == b->rank;
}

/* True if the node has so many tensors and params, input 0 and all outputs of one type. */
static inline int ek_call_has(const ek_call *call, uint32_t inputs, uint32_t outputs,
                              uint32_t params, uint32_t type) {
    if (call->inputs != inputs || call->outputs != outputs || call->param_count != params) {
        return 0;
    }
    for (uint32_t i = inputs; i < inputs + outputs; i++) {
        if (call->tensors[i].type != type) {
            return 0;
        }
    }
    return inputs == 0 || call->tensors[0].type == type;
}

/* As ek_call_has, all activations int8. */
static inline int ek_call_is(const ek_call *call, uint32_t inputs, uint32_t outputs,
                             uint32_t params) {
    return ek_call_has(call, inputs, outputs, params, EK_S8);
}

/* True if q is a constant int32 [n, 3] of bias, multiplier, shift, with each multiplier and shift
 * in range. */
static inline int ek_requant_rows_ok(const ek_tensor *q, uint32_t n) {
    if (q->type != EK_S32 || q->constant == 0 || q->rank != 2 || q->dims[0] != n ||
        q->dims[1] != 3) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t shift = ek_get_i32(q->data + 12u * (size_t)i + 8u);
        if (ek_get_i32(q->data + 12u * (size_t)i + 4u) < 0 || shift < -31 || shift > 30) {
            return 0;
        }
    }
    return 1;
}

/* True if the coordinates of a sliding window over y [N, OH, OW, C] fit 31 bits. Params from
 * stride: stride_h, stride_w, dilation_h, dilation_w (each 1 .. 4,096); from pad: pad_top,
 * pad_left. */
static inline int ek_window_ok(const ek_call *call, const ek_tensor *y, uint32_t kernel_h,
                               uint32_t kernel_w, uint32_t stride, uint32_t pad) {
    const uint32_t kernel[2] = {kernel_h, kernel_w};
    for (uint32_t i = 0; i < 2; i++) {
        int64_t reach = (int64_t)y->dims[1u + i] * ek_param(call, stride + i) +
                        (int64_t)kernel[i] * ek_param(call, stride + 2u + i);
        if (reach > INT32_MAX / 2 || ek_param(call, pad + i) > INT32_MAX / 2) {
            return 0;
        }
    }
    return 1;
}

/* memcpy for short runs: small C libraries copy byte by byte, and a loop here becomes a call. */
static inline void ek_copy_bytes(int8_t *to, const int8_t *from, size_t count) {
#if defined(__x86_64__)
    for (; count >= 16; count -= 16) {
        memcpy(to, from, 16);
        to += 16;
        from += 16;
    }
#endif
    for (; count >= 4; count -= 4) {
        memcpy(to, from, 4);
        to += 4;
        from += 4;
    }
    if ((count & 2) != 0) {
        memcpy(to, from, 2);
        to += 2;
        from += 2;
    }
    if ((count & 1) != 0) {
        *to = *from;
    }
}

/* memset for short runs; filler: the byte, four times. */
static inline void ek_fill_bytes(int8_t *to, uint32_t filler, size_t count) {
    for (; count >= 4; count -= 4) {
        memcpy(to, &filler, 4);
        to += 4;
    }
    if ((count & 2) != 0) {
        memcpy(to, &filler, 2);
        to += 2;
    }
    if ((count & 1) != 0) {
        *to = (int8_t)filler;
    }
}

#define X(id, number, name, in_place)                                   \
    ek_status ek_##name##_s8_check(const ek_call *call, ek_need *need); \
    void ek_##name##_s8(const ek_call *call);
#define X16(id, number, name, in_place)                                  \
    ek_status ek_##name##_s16_check(const ek_call *call, ek_need *need); \
    void ek_##name##_s16(const ek_call *call);
#include "ek_ops.def"
#undef X
#undef X16

#endif
