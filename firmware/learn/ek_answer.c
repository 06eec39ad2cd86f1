#include "ek_answer.h"

#include "../runtime/ek_bytes.h"
#include "../runtime/ek_container.h"
#include "../runtime/ek_resolve.h"
#include "ek_exp.h"

ek_status ek_answer(const ek_image *image, const int8_t *output, uint32_t *label, float *score) {
    ek_tensor tensor;
    ek_tensor_resolve(image, image->output, NULL, &tensor);
    if (tensor.type != EK_S8) {
        return EK_ERR_SHAPE;
    }
    const float scale = ek_get_f32(image->plan + EK_PLAN_HEADER_BYTES +
                                   EK_TENSOR_BYTES * (size_t)image->output + 4u);
    uint32_t best = 0;
    for (uint32_t i = 1; i < tensor.count; i++) {
        best = output[i] > output[best] ? i : best;
    }
    *label = best;
    if (tensor.count == 1u || (scale == 0.00390625f && tensor.zero_point == -128)) {
        *score = (float)(output[best] - tensor.zero_point) * scale;
        return EK_OK;
    }
    float sum = 0.0f;
    for (uint32_t i = 0; i < tensor.count; i++) {
        sum += ek_exp_f32((float)(output[i] - output[best]) * scale);
    }
    *score = 1.0f / sum;
    return EK_OK;
}
