/* Proves a model image. Everything that the rest of the runtime assumes is checked here, once.
 * Bytes: CONTAINER.md. Twin: edgekit/formats/image_reader.py. */
#include "ek.h"

#include "ek_bytes.h"
#include "ek_container.h"
#include "ek_resolve.h"
#include "ek_sections.h"

/* CRC-32 of IEEE 802.3, four bits at a time. */
static uint32_t crc32_add(uint32_t crc, const uint8_t *bytes, size_t count) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u,
        0x4db26158u, 0x5005713cu, 0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
        0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
    };
    for (; count != 0; count--) {
        crc ^= *bytes++;
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return crc;
}

static ek_status open_header(const uint8_t *bytes, size_t length, uint32_t *total,
                             uint32_t *sections) {
    if (((uintptr_t)bytes & (EK_SECTION_ALIGN - 1)) != 0) {
        return EK_ERR_ARGUMENT;
    }
    if (length < EK_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    if (memcmp(bytes, "EKM1", 4) != 0) {
        return EK_ERR_MAGIC;
    }
    if (ek_get_u32(bytes + 4) != EK_CONTAINER_VERSION) {
        return EK_ERR_VERSION;
    }
    *total = ek_get_u32(bytes + 8);
    *sections = ek_get_u32(bytes + 16);
    if (*total > length) {
        return EK_ERR_TRUNCATED;
    }
    if (*total > EK_MAX_BYTES || *sections > EK_MAX_SECTIONS ||
        *total < EK_HEADER_BYTES + EK_SECTION_BYTES * *sections) {
        return EK_ERR_RANGE;
    }
    uint32_t crc = crc32_add(0xffffffffu, bytes, 12);
    crc = crc32_add(crc, bytes + 16, *total - 16);
    return ~crc == ek_get_u32(bytes + 12) ? EK_OK : EK_ERR_CRC;
}

/* Sections stand in order, aligned, one of each kind. */
static ek_status open_sections(const uint8_t *bytes, uint32_t total, uint32_t count,
                               ek_span found[EK_MAX_SECTIONS + 1]) {
    uint32_t free_from = EK_HEADER_BYTES + EK_SECTION_BYTES * count;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = bytes + EK_HEADER_BYTES + (size_t)EK_SECTION_BYTES * i;
        const uint32_t type = ek_get_u32(entry);
        const uint32_t offset = ek_get_u32(entry + 4);
        const uint32_t size = ek_get_u32(entry + 8);
        if (type < EK_SECTION_META || type > EK_SECTION_VARIABLES || found[type].data != NULL ||
            offset % EK_SECTION_ALIGN != 0 || offset < free_from || offset > total ||
            size > total - offset) {
            return EK_ERR_RANGE;
        }
        found[type].data = bytes + offset;
        found[type].bytes = size;
        free_from = offset + size;
    }
    if (found[EK_SECTION_META].data == NULL || found[EK_SECTION_OPS].data == NULL ||
        found[EK_SECTION_WEIGHTS].data == NULL || found[EK_SECTION_PLAN].data == NULL) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* Each tensor: type, dimensions, and a place inside arena or weights. */
static ek_status prove_tensors(ek_image *image, ek_span plan) {
    if (plan.bytes < EK_PLAN_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    image->plan = plan.data;
    image->arena_bytes = ek_get_u32(plan.data);
    image->tensor_count = ek_get_u32(plan.data + 4);
    image->input = ek_get_u32(plan.data + 12);
    image->output = ek_get_u32(plan.data + 16);
    const uint32_t dim_count = ek_get_u32(plan.data + 8);
    const uint64_t needed = EK_PLAN_HEADER_BYTES + (uint64_t)EK_TENSOR_BYTES * image->tensor_count +
                            4 * (uint64_t)dim_count;
    if (needed > plan.bytes) {
        return EK_ERR_TRUNCATED;
    }
    if (image->arena_bytes > EK_MAX_BYTES || image->input >= image->tensor_count ||
        image->output >= image->tensor_count) {
        return EK_ERR_RANGE;
    }
    for (uint32_t id = 0; id < image->tensor_count; id++) {
        const uint8_t *entry = plan.data + EK_PLAN_HEADER_BYTES + (size_t)EK_TENSOR_BYTES * id;
        const uint32_t rank = entry[1];
        const uint32_t first = ek_get_u32(entry + 12);
        const uint32_t offset = ek_get_u32(entry + 8);
        if (entry[0] < EK_S8 || entry[0] > EK_S16 || rank > EK_MAX_RANK ||
            entry[2] > EK_KIND_WEIGHTS || first > dim_count || rank > dim_count - first) {
            return EK_ERR_RANGE;
        }
        const uint8_t *dims = plan.data + EK_PLAN_HEADER_BYTES +
                              (size_t)EK_TENSOR_BYTES * image->tensor_count + 4 * (size_t)first;
        uint64_t bytes = ek_type_bytes(entry[0]);
        for (uint32_t i = 0; i < rank; i++) {
            bytes *= ek_get_u32(dims + 4 * (size_t)i);
            if (bytes == 0 || bytes > EK_MAX_BYTES) {
                return EK_ERR_SHAPE;
            }
        }
        const uint32_t room =
            entry[2] == EK_KIND_WEIGHTS ? image->weights_bytes : image->arena_bytes;
        const uint32_t align = entry[2] == EK_KIND_WEIGHTS ? 4 : EK_SECTION_ALIGN;
        if (offset % align != 0 || offset > room || bytes > room - offset) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

/* True if output 0 may overlap an input at these offsets: input i, `before` bytes of inputs stand
 * in front of it. */
static int may_overlap(const ek_need *need, uint32_t i, uint32_t place, uint64_t before,
                       uint32_t out) {
    if (need->joins && place - (uint64_t)out == before) {
        return 1;
    }
    if (i != 0) {
        return 0;
    }
    return (need->lead != EK_APART && place >= out && place - out >= need->lead) ||
           (need->begin != EK_APART && out >= place && out - place == need->begin);
}

/* Outputs and scratch may lie on nothing else, except an output at the begin of an input, the first
 * of both with the output ahead, or one in the other where nothing has to move, as the kernel
 * allows.
 */
static ek_status prove_places(const ek_image *image, uint32_t node, const ek_call *call,
                              const ek_op *op, const ek_need *need) {
    const uint32_t scratch_bytes = need->scratch_bytes;
    const uint32_t scratch = ek_node_scratch(image, node);
    const uint32_t tensors = call->inputs + call->outputs;
    if (scratch % EK_SECTION_ALIGN != 0 || scratch > image->arena_bytes ||
        scratch_bytes > image->arena_bytes - scratch) {
        return EK_ERR_RANGE;
    }
    uint64_t before = 0;
    for (uint32_t i = 0; i < tensors; i++) {
        const uint32_t bytes = ek_tensor_bytes(&call->tensors[i]);
        before += bytes;
        if (call->tensors[i].constant) {
            if (i >= call->inputs) {
                return EK_ERR_RANGE;
            }
            continue;
        }
        const uint32_t place = ek_tensor_offset(image, ek_node_tensor(image, node, i));
        if (scratch_bytes != 0 && ek_overlap(place, bytes, scratch, scratch_bytes)) {
            return EK_ERR_RANGE;
        }
        for (uint32_t o = call->inputs; o < tensors; o++) {
            const uint32_t out = ek_tensor_offset(image, ek_node_tensor(image, node, o));
            const uint32_t out_bytes = ek_tensor_bytes(&call->tensors[o]);
            const int same = op->in_place && i < call->inputs && place == out && bytes >= out_bytes;
            const int allowed = i < call->inputs && o == call->inputs &&
                                may_overlap(need, i, place, before - bytes, out);
            if (i != o && !same && !allowed && ek_overlap(place, bytes, out, out_bytes)) {
                return EK_ERR_RANGE;
            }
        }
    }
    return EK_OK;
}

static ek_status prove_nodes(ek_image *image, ek_span ops) {
    if (ops.bytes < EK_OPS_HEADER_BYTES) {
        return EK_ERR_TRUNCATED;
    }
    image->ops = ops.data;
    image->node_count = ek_get_u32(ops.data);
    image->word_count = ek_get_u32(ops.data + 4);
    if (EK_OPS_HEADER_BYTES + (uint64_t)EK_NODE_BYTES * image->node_count +
            4 * (uint64_t)image->word_count >
        ops.bytes) {
        return EK_ERR_TRUNCATED;
    }
    for (uint32_t node = 0; node < image->node_count; node++) {
        const uint8_t *entry = ops.data + EK_OPS_HEADER_BYTES + (size_t)EK_NODE_BYTES * node;
        const uint32_t tensors = (uint32_t)entry[2] + entry[3];
        const uint32_t words = ek_get_u32(entry + 4);
        const uint32_t params = ek_get_u32(entry + 8);
        ek_call call;
        const ek_op *op;
        ek_need need = EK_NEED_NOTHING;
        if (tensors > EK_MAX_NODE_TENSORS || entry[3] == 0 || words > image->word_count ||
            params > image->word_count || tensors + params > image->word_count - words) {
            return EK_ERR_RANGE;
        }
        for (uint32_t i = 0; i < tensors; i++) {
            if (ek_node_tensor(image, node, i) >= image->tensor_count) {
                return EK_ERR_RANGE;
            }
        }
        ek_node_resolve(image, node, NULL, &call, &op);
        if (op == NULL) {
            return EK_ERR_OP;
        }
        ek_status status = op->check(&call, &need);
        if (status != EK_OK) {
            return status;
        }
        status = prove_places(image, node, &call, op, &need);
        if (status != EK_OK) {
            return status;
        }
    }
    return EK_OK;
}

static ek_status prove_ends(ek_image *image) {
    ek_tensor tensor;
    ek_tensor_resolve(image, image->input, NULL, &tensor);
    if (tensor.constant) {
        return EK_ERR_SHAPE;
    }
    image->input_bytes = ek_tensor_bytes(&tensor);
    ek_tensor_resolve(image, image->output, NULL, &tensor);
    if (tensor.constant) {
        return EK_ERR_SHAPE;
    }
    image->output_bytes = ek_tensor_bytes(&tensor);
    return EK_OK;
}

ek_status ek_image_open(ek_image *image, const uint8_t *bytes, size_t length) {
    ek_span found[EK_MAX_SECTIONS + 1] = {{NULL, 0}};
    uint32_t total = 0;
    uint32_t sections = 0;
    if (image == NULL || bytes == NULL) {
        return EK_ERR_ARGUMENT;
    }
    ek_status status = open_header(bytes, length, &total, &sections);
    if (status == EK_OK) {
        status = open_sections(bytes, total, sections, found);
    }
    if (status != EK_OK) {
        return status;
    }
    image->bytes = bytes;
    image->length = total;
    image->meta = found[EK_SECTION_META].data;
    image->meta_bytes = found[EK_SECTION_META].bytes;
    image->weights = found[EK_SECTION_WEIGHTS].data;
    image->weights_bytes = found[EK_SECTION_WEIGHTS].bytes;
    status = prove_tensors(image, found[EK_SECTION_PLAN]);
    if (status == EK_OK) {
        status = prove_nodes(image, found[EK_SECTION_OPS]);
    }
    if (status == EK_OK) {
        status = prove_ends(image);
    }
    if (status == EK_OK) {
        status = ek_prove_features(image, found[EK_SECTION_FEATURES]);
    }
    if (status == EK_OK) {
        status = ek_prove_head(image, found[EK_SECTION_HEAD]);
    }
    if (status == EK_OK) {
        status = ek_prove_golden(image, found[EK_SECTION_GOLDEN]);
    }
    if (status == EK_OK) {
        status = ek_prove_variables(image, found[EK_SECTION_VARIABLES]);
    }
    return status;
}

size_t ek_image_bytes(const ek_image *image) {
    return image->length;
}

size_t ek_image_arena_bytes(const ek_image *image) {
    return image->arena_bytes;
}

size_t ek_image_input_bytes(const ek_image *image) {
    return image->input_bytes;
}

size_t ek_image_output_bytes(const ek_image *image) {
    return image->output_bytes;
}

size_t ek_image_raw_bytes(const ek_image *image) {
    return image->raw_bytes;
}

size_t ek_image_node_count(const ek_image *image) {
    return image->node_count;
}

size_t ek_image_variable_count(const ek_image *image) {
    return image->variable_count;
}

const uint8_t *ek_image_meta(const ek_image *image, size_t *bytes) {
    *bytes = image->meta_bytes;
    return image->meta;
}

ek_status ek_image_input_scale(const ek_image *image, float *scale, int32_t *zero_point) {
    const uint8_t *entry =
        image->plan + EK_PLAN_HEADER_BYTES + EK_TENSOR_BYTES * (size_t)image->input;
    *zero_point = (int8_t)entry[3];
    *scale = ek_get_f32(entry + 4);
    return entry[0] == EK_S8 && *scale > 0.0f ? EK_OK : EK_ERR_SHAPE;
}

ek_status ek_image_head(const ek_image *image, ek_head *head) {
    if (image->head == NULL) {
        return EK_ERR_STATE;
    }
    const uint8_t *p = image->head;
    head->classes = ek_get_u32(p + 4);
    head->max_classes = ek_get_u32(p + 8);
    head->features = ek_get_u32(p + 12);
    head->scale = ek_get_f32(p + 16);
    head->zero_point = ek_get_i32(p + 20);
    head->rate = ek_get_f32(p + 24);
    head->weights = p + EK_HEAD_HEADER_BYTES;
    head->bias = head->weights + 4 * (size_t)head->classes * head->features;
    return EK_OK;
}

/* Twin: edgekit/runtime/host.py, IMAGE_STRUCT_BYTES. */
enum { EK_IMAGE_STRUCT_LIMIT = 256 };
_Static_assert(sizeof(ek_image) <= EK_IMAGE_STRUCT_LIMIT, "the host reserves less");
